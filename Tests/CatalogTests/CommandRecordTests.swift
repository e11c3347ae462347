import Catalog
import TestSupport
import Testing

@Suite struct CommandRecordTests {
  private func random(_ generator: inout SeededGenerator, at position: UInt64) throws
    -> CommandRecord
  {
    func bytes() -> [UInt8] { (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) } }
    var seeds: [RouteSeed] = []
    var events: [Event] = []
    var id = UInt64.random(in: 1...300, using: &generator)
    for _ in 0..<Int.random(in: 0...4, using: &generator) {
      id += UInt64.random(in: 1...2, using: &generator)
      seeds.append(RouteSeed(id: RouteID(id), start: .least, group: GroupID(1)))
      events.append(
        .routeSplit(route: RouteID(1), start: .least, boundary: .least, newRoute: RouteID(id)))
    }
    if generator.oneIn(2) { events = [.routesBootstrapped(seeds)] }
    let entry = LogEntry(
      position: LogPosition(position),
      previous: .genesis(of: try #require(CatalogID(bytes: bytes()))), time: HybridTimestamp(1),
      actor: "", reason: "", command: try #require(CommandID(bytes: bytes())),
      version: CatalogVersion(position / 2), events: events, digest: .zero)
    let record = CommandRecord(
      entry, fingerprint: generator.oneIn(2) ? ChangeFingerprint(bytes: bytes()) : nil)
    #expect(record.newRouteIDs == entry.newRoutes)
    return record
  }

  private func read(_ bytes: [UInt8]) throws -> [CommandRecord] {
    var records: [CommandRecord] = []
    try bytes.withUnsafeBytes { try CommandRecord.decode($0) { records.append($0) } }
    return records
  }

  private func write(_ records: [CommandRecord]) -> [UInt8] {
    records.flatMap {
      withUnsafeBytes(of: $0.position.rawValue.littleEndian, Array.init) + $0.bytes
    }
  }

  @Test(arguments: testSeeds(count: 50))
  func whatIsWrittenIsRead(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let records = try (UInt64(1)...9).map { try random(&generator, at: $0) }
    #expect(try read(write(records)) == records, "seed \(seed)")
    for record in records {
      let again = try record.bytes.withUnsafeBytes {
        try CommandRecord(decoding: $0, at: record.position)
      }
      #expect(again == record, "seed \(seed)")
    }
  }

  /// Bytes that are no records are refused, whatever they are, and what is accepted has one form.
  @Test(arguments: testSeeds(count: 300))
  func hostileBytesDoNotTrap(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var bytes = write(try (UInt64(1)...4).map { try random(&generator, at: $0) })
    generator.damage(&bytes, times: 1...4)
    guard let records = try? read(bytes) else { return }
    #expect(write(records) == bytes, "seed \(seed)")
  }
}
