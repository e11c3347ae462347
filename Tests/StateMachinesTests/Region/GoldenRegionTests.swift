import Catalog
import Foundation
import StateMachines
import TestSupport
import Testing

/// A whole small stream of a region: its bytes and the state that they make.
enum GoldenRegion {
  static func log() throws -> (state: RegionState, entries: [EncodedEntry]) {
    var state = RegionState(catalog: GoldenLogTests.catalog, region: try Region("tokyo"))
    var entries: [EncodedEntry] = []
    for (index, step) in try changes().enumerated() {
      let bytes = (0..<16).map { UInt8(truncatingIfNeeded: 16 * (index + 1) + $0) }
      let command = RegionCommand(
        id: CommandID(bytes: bytes) ?? unreachable(), actor: "tokyo-1", reason: step.reason,
        change: step.change)
      let time = HybridTimestamp(
        milliseconds: start + UInt64(index) * 1000, counter: UInt16(index))
      if case .append(let entry) = try state.propose(command, time: time) { entries.append(entry) }
    }
    return (state, entries)
  }

  private static let start: UInt64 = 1_785_312_000_000

  private static func changes() throws -> [(reason: String, change: RegionChange)] {
    let (one, two) = (member("tokyo-1"), member("tokyo-2"))
    let elsewhere = try Region("eu-west")
    func at(_ milliseconds: UInt64) -> HybridTimestamp { time(start + milliseconds) }
    let (first, second) = (transactionID(1), transactionID(2))
    return [
      (
        "begin",
        .lead(
          LeadRequest(
            groups: groups(1...100_000), leader: one, ceiling: at(3000),
            lease: Milliseconds(3000)))
      ),
      (
        "renewal",
        .renew(
          RenewalRequest(
            leader: one, groups: [TermGroups(term: Term(1), groups: groups(1...100_000))],
            ceiling: at(4000)))
      ),
      ("begin", .begin(first, participants: groups(5...6, 200_000...200_000), expiry: at(9000))),
      (
        "take over",
        .lead(
          LeadRequest(
            groups: groups(7...9, 100_001...100_001), leader: two, ceiling: at(6000),
            lease: Milliseconds(3000)))
      ),
      (
        "for maintenance",
        .retire(
          RetirementRequest(
            leader: one, groups: [TermGroups(term: Term(1), groups: groups(20...29))],
            floor: at(3900), hasWaited: true))
      ),
      ("commit", .decide(first, .committed(at: at(4500)))),
      ("nearer to its users", .depart(groups(25...29), to: elsewhere)),
      (
        "from afar",
        .arrive(
          [
            Arrival(
              groups: groups(300_000...300_000),
              clock: ClockHandover(
                term: Term(7), ceiling: at(7000), floor: at(6500), lease: Milliseconds(0)))
          ], from: elsewhere)
      ),
      ("begin", .begin(second, participants: groups(1...1), expiry: at(8500))),
      ("expiry", .expire),
      ("expiry", .decide(second, .aborted)),
      ("never begun", .decide(transactionID(3), .aborted)),
      ("undecided", .begin(transactionID(4), participants: groups(2...2), expiry: at(60_000))),
    ]
  }

  static func text(_ state: RegionState, _ entries: [EncodedEntry]) -> String {
    entries.map { EntryText.text(of: $0) + "\n" }.joined() + "state at \(state.appliedThrough)\n"
      + state.records.map { "  \(EntryText.text(of: $0))\n" }.joined()
  }
}

@Suite struct GoldenRegionTests {
  @Test func aRegionsStreamHasItsGoldenBytesAndMakesItsState() throws {
    let (state, entries) = try GoldenRegion.log()
    let folder = GoldenLogTests.folder
    let hex = try golden(
      HexFile.text(of: entries.map(\.bytes)), at: folder.appending(path: "region-log.hex"))
    let text = try golden(
      GoldenRegion.text(state, entries), at: folder.appending(path: "region-log.txt"))
    let bytes = try #require(HexFile.entries(in: hex))
    #expect(bytes == entries.map(\.bytes))
    var replayed = RegionState(catalog: GoldenLogTests.catalog, region: try Region("tokyo"))
    let decoded = try bytes.map { try EncodedEntry(decoding: $0) }
    for entry in decoded { try replayed.evolve(entry) }
    #expect(replayed.header == state.header)
    #expect(GoldenRegion.text(replayed, decoded) == text)
  }

  @Test func aRenewalOfManyGroupsIsSmall() throws {
    let renewal = try GoldenRegion.log().entries[1]
    #expect(renewal.bytes.count < 160)
  }

  /// The streams of two regions, and of a catalog, do not mix.
  @Test func entriesOfAnotherStreamAreNotFolded() throws {
    let (_, entries) = try GoldenRegion.log()
    var other = RegionState(catalog: GoldenLogTests.catalog, region: try Region("eu-west"))
    #expect(throws: EvolveError.self) { try other.evolve(entries[0]) }
    var catalog = CatalogState(catalog: GoldenLogTests.catalog)
    #expect(throws: EvolveError.otherStream(LogPosition(1))) { try catalog.evolve(entries[0]) }
    var region = RegionState(catalog: GoldenLogTests.catalog, region: try Region("tokyo"))
    var entry = entries[0].entry
    entry.stream = .catalog
    #expect(throws: EvolveError.otherStream(LogPosition(1))) {
      try region.evolve(entry, hash: entries[0].hash)
    }
    #expect(throws: LogCodingError.self) { try EncodedEntry(entry) }
  }
}
