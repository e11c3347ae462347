import Catalog
import TestSupport
import Testing

/// Bytes that may hold anything: never a trap, and no second form of an entry.
@Suite struct LogEntryHostileTests {
  @Test(arguments: testSeeds(count: 8))
  func mutatedEntriesAreRefusedOrCanonical(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let corpus = try GoldenEntries.all().map { try $0.entry.encoded() }
    var accepted = 0
    for round in 0..<4000 {
      var bytes = corpus.randomElement(using: &generator) ?? []
      repeat {
        mutate(&bytes, corpus: corpus, using: &generator)
      } while generator.oneIn(4)
      let entry: LogEntry
      do {
        entry = try LogEntry(decoding: bytes)
      } catch {
        #expect(error.offset >= 0 && error.offset <= bytes.count, "seed \(seed), round \(round)")
        // Whoever reads only the header may accept more, but never traps.
        _ = try? LogEntryHeader(decoding: bytes)
        continue
      }
      accepted += 1
      #expect(try entry.encoded() == bytes, "seed \(seed), round \(round)")
      let header = try LogEntryHeader(decoding: bytes)
      #expect(header.position == entry.position, "seed \(seed), round \(round)")
      #expect(header.eventCount == entry.events.count, "seed \(seed), round \(round)")
    }
    // Flipped bits of hashes and keys make other entries: the test reaches past the header.
    #expect(accepted > 100, "seed \(seed)")
  }

  private func mutate(
    _ bytes: inout [UInt8], corpus: [[UInt8]], using generator: inout SeededGenerator
  ) {
    guard !bytes.isEmpty else {
      bytes = Key.random(length: 0...200, using: &generator).bytes
      return
    }
    // Most of what can go wrong comes after the fields of fixed length.
    let from = generator.oneIn(4) || bytes.count <= 112 ? 0 : 112
    let offset = Int.random(in: from..<bytes.count, using: &generator)
    switch Int.random(in: 0..<7, using: &generator) {
    case 0:
      bytes[offset] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
    case 1:
      bytes[offset] = UInt8.random(in: 0...255, using: &generator)
    case 2:
      bytes.removeSubrange(offset...)
    case 3:
      bytes.insert(UInt8.random(in: 0...255, using: &generator), at: offset)
    case 4:
      let end = min(bytes.count, offset + Int.random(in: 1...8, using: &generator))
      bytes.removeSubrange(offset..<end)
    case 5:
      let other = corpus.randomElement(using: &generator) ?? []
      bytes.removeSubrange(offset...)
      bytes += other.suffix(from: min(offset, other.count))
    default:
      bytes.replaceSubrange(
        offset...offset,
        with: Self.extremeVarints.randomElement(using: &generator) ?? [])
    }
  }

  private static let extremeVarints: [[UInt8]] = [
    [0x80, 0x00], [0x80], [0xFF, 0x7F], [0x81, 0x80, 0x00],
    [UInt8](repeating: 0xFF, count: 9) + [0x01], [UInt8](repeating: 0xFF, count: 9) + [0x02],
    [UInt8](repeating: 0xFF, count: 10), [UInt8](repeating: 0xFF, count: 9) + [0x7F],
    [UInt8](repeating: 0x80, count: 9) + [0x01], [0xFF, 0xFF, 0xFF, 0xFF, 0x07],
    [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
  ]

  @Test func everyBeginningOfAnEntryIsTruncated() throws {
    for (name, entry) in try GoldenEntries.all() where name != "extremes" {
      let bytes = try entry.encoded()
      for count in 0..<bytes.count {
        #expect(throws: LogCodingError.self, "\(name) \(count)") {
          try LogEntry(decoding: Array(bytes.prefix(count)))
        }
      }
    }
  }

  @Test(arguments: testSeeds(count: 4))
  func randomBytesAreRefused(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<2000 {
      let bytes = Key.random(length: 0...300, using: &generator).bytes
      #expect(throws: LogCodingError.self, "seed \(seed)") { try LogEntry(decoding: bytes) }
    }
  }
}
