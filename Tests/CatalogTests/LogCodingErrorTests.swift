import Catalog
import TestSupport
import Testing

/// Each thing that can be wrong with an entry, by its offset and its name.
@Suite struct LogCodingErrorTests {
  /// An entry with empty texts up to its event count, which is at offset 114.
  private static func bytes(_ tail: [UInt8]) -> [UInt8] {
    Array("CDE".utf8) + [1] + [UInt8](repeating: 0, count: 108) + [0, 0] + tail
  }

  private static func error(_ bytes: [UInt8]) -> LogCodingError? {
    do throws(LogCodingError) {
      _ = try LogEntry(decoding: bytes)
      return nil
    } catch {
      return error
    }
  }

  private func expect(
    _ bytes: [UInt8], _ problem: LogCodingError.Problem, at offset: Int,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(
      Self.error(bytes) == LogCodingError(problem, at: offset), sourceLocation: sourceLocation)
  }

  @Test func theLeastEntryIsAccepted() throws {
    let entry = try LogEntry(decoding: Self.bytes([0]))
    #expect(entry.events.isEmpty)
    #expect(try entry.encoded() == Self.bytes([0]))
  }

  @Test func headers() {
    var bytes = Self.bytes([0])
    expect([], .truncated, at: 0)
    expect(Array("XDE".utf8), .notAnEntry, at: 0)
    for (offset, problem) in [
      (3, LogCodingError.Problem.unknownFormat(9)), (4, .unknownStream(9)), (5, .unknownFlags(9)),
      (6, .lacksCapabilities(CapabilitySet(rawValue: 8))),
      (7, .lacksCapabilities(CapabilitySet(rawValue: 9 << 8))),
    ] {
      let kept = bytes[offset]
      bytes[offset] = 9
      expect(bytes, problem, at: min(offset, 6))
      #expect(Self.error(bytes)?.needsNewerReader == true)
      bytes[offset] = kept
    }
    expect(Array(bytes.prefix(30)), .truncated, at: 16)
    expect(bytes + [7, 7], .trailingBytes(count: 2), at: 115)
    expect(Array(bytes.dropLast()), .truncated, at: 114)
  }

  @Test func texts() {
    let head = Array(Self.bytes([]).prefix(112))
    expect(head + [2, 0xC3, 0x28, 0, 0], .textNotUTF8, at: 112)
    expect(head + [3, 0xED, 0xA0, 0x80, 0, 0], .textNotUTF8, at: 112)  // Half of a surrogate pair.
    expect(head + [2, 0xC0, 0x80, 0, 0], .textNotUTF8, at: 112)  // NUL in two bytes.
    expect(head + [0x81, 0x08], .textTooLong(byteCount: 1025), at: 112)
    expect(head + [0, 5, 0x61], .truncated, at: 114)
    let longest = [UInt8](repeating: 0x61, count: 1024)
    #expect(Self.error(head + [0x80, 0x08] + longest + [0, 0]) == nil)
  }

  @Test func numbers() {
    expect(Self.bytes([0x80, 0x00]), .varintNotShortest, at: 114)
    expect(Self.bytes([0xFF, 0x80, 0x00]), .varintNotShortest, at: 114)
    let ones = [UInt8](repeating: 0xFF, count: 9)
    expect(Self.bytes(ones + [0x02]), .varintTooLarge, at: 114)
    expect(Self.bytes(ones + [0x81, 0x00]), .varintTooLarge, at: 114)
    expect(Self.bytes(ones + [0x00]), .varintNotShortest, at: 114)
    expect(Self.bytes(ones), .truncated, at: 123)
    expect(Self.bytes(ones + [0x01]), .countTooLarge(.max), at: 114)
  }

  @Test func countsThatPromiseTooMuch() {
    expect(Self.bytes([1]), .countTooLarge(1), at: 114)
    expect(Self.bytes([2, 2, 1, 0]), .countTooLarge(2), at: 114)
    // A bootstrap of three seeds in the bytes of two.
    expect(
      Self.bytes([1, 1, 3, 1, 0, 1, 0, 2, 1, 0x6D, 1, 0]), .countTooLarge(3), at: 116)
    // A seed with 100 regions in two bytes.
    expect(Self.bytes([1, 1, 1, 1, 0, 1, 100, 1, 0x61]), .countTooLarge(100), at: 120)
  }

  @Test func events() {
    expect(Self.bytes([1, 0, 0]), .unknownEventKind(0), at: 115)
    expect(Self.bytes([1, 23, 0]), .unknownEventKind(23), at: 115)
    #expect(Self.error(Self.bytes([1, 255, 0]))?.needsNewerReader == true)
    expect(Self.bytes([1, 5, 1, 0, 0, 5]), .unknownRouteState(5), at: 119)
    expect(Self.bytes([1, 2, 1, 0x81, 0x20]), .keyTooLong(byteCount: 4097), at: 117)
    expect(Self.bytes([1, 2, 1, 4, 0x61, 0x61]), .truncated, at: 118)
    #expect(Self.error(Self.bytes([1, 2, 1, 0, 1, 0x61, 2])) == nil)
  }

  /// The same of a region's stream.
  private static func region(_ tail: [UInt8], needed: UInt8 = 2) -> [UInt8] {
    var bytes = bytes(tail)
    bytes[4] = 1
    bytes[6] = needed
    return bytes
  }

  @Test func streams() {
    #expect(Self.error(Self.region([0])) == nil)
    expect(Self.region([0], needed: 0), .wrongStreamCapabilities(0, needed: 2), at: 6)
    expect(
      Self.region([0], needed: 3),
      .wrongCapabilities(CapabilitySet(rawValue: 3), needed: .regionStreams), at: 6)
    var bytes = Self.bytes([0])
    bytes[6] = 2
    expect(bytes, .wrongStreamCapabilities(2, needed: 0), at: 6)
    // Events of the other kind of stream, and of kinds that nobody has given yet.
    let raised: [UInt8] = [65, 1, 5, 0, 1] + [UInt8](repeating: 7, count: 8)
    #expect(Self.error(Self.region([1] + raised)) == nil)
    expect(Self.bytes([1] + raised), .eventOfOtherStream(kind: 65, .catalog), at: 115)
    expect(Self.region([1, 2, 1, 0, 1, 0x61, 2]), .eventOfOtherStream(kind: 2, .region), at: 115)
    expect(Self.region([1, 95, 0]), .unknownEventKind(95), at: 115)
    expect(Self.bytes([1, 95, 0]), .eventOfOtherStream(kind: 95, .catalog), at: 115)
  }

  @Test func groups() {
    func raise(_ groups: [UInt8]) -> [UInt8] {
      Self.region([1, 65] + groups + [1] + [UInt8](repeating: 7, count: 8))
    }
    let ones = [UInt8](repeating: 0xFF, count: 9) + [0x01]
    #expect(Self.error(raise([1, 0, 0])) == nil)
    #expect(Self.error(raise([1, 0] + ones)) == nil)
    #expect(Self.error(raise([2, 0, 0, 0, 0])) == nil)
    expect(raise([0]), .noGroups, at: 116)
    expect(raise([1, 1] + ones), .groupPastTheLast, at: 117)
    expect(raise([2, 0] + ones + [0, 0]), .groupPastTheLast, at: 128)
    expect(raise([0x80, 0x00]), .varintNotShortest, at: 116)
    expect(raise([100]), .countTooLarge(100), at: 116)
    expect(
      Self.region([1, 64, 1, 0, 0, 1, UInt8(ascii: "A")] + [UInt8](repeating: 1, count: 19)),
      .badMemberName, at: 119)
    let id = [UInt8](repeating: 9, count: 16)
    expect(Self.region([1, 81] + id + [3]), .unknownOutcome(3), at: 132)
    expect(Self.region([1, 80] + id + [0] + id), .noGroups, at: 132)
  }

  @Test func notes() {
    let hash = [UInt8](repeating: 7, count: 32)
    #expect(Self.error(Self.bytes([1, 7, 5, 6] + hash + hash)) == nil)
    expect(Self.bytes([1, 7, 5, 6] + hash), .truncated, at: 150)
    expect(Self.bytes([1, 7, 5, 6] + hash + hash.dropLast()), .truncated, at: 150)
    expect(Self.bytes([1, 7, 0x85, 0, 6] + hash + hash), .varintNotShortest, at: 116)
    let trim = [1, 8, 5] + hash + [6] + hash
    let signed = hash + hash + hash
    #expect(Self.error(Self.bytes(trim + [2, 0x6F, 0x6B] + signed)) == nil)
    expect(Self.bytes(trim + [1, 0xFF] + signed), .textNotUTF8, at: 182)
    expect(Self.bytes(trim + [0] + signed.dropLast()), .truncated, at: 215)
    expect(Self.bytes(trim + [0] + signed + [0]), .trailingBytes(count: 1), at: 279)
  }

  @Test func regions() {
    func change(_ regions: [UInt8]) -> [UInt8] { Self.bytes([1, 6, 1, 0] + regions) }
    let a = UInt8(ascii: "a")
    #expect(Self.error(change([2, 1, a, 2, a, a])) == nil)
    expect(change([2, 1, a, 1, a]), .regionsNotAscending, at: 121)
    expect(change([2, 2, a, a, 1, a]), .regionsNotAscending, at: 122)
    let many = (0..<101).flatMap { (number: Int) -> [UInt8] in
      [3, a] + Array(String(number + 100).utf8.dropFirst())
    }
    expect(change([101] + many), .tooManyRegions(count: 101), at: 118)
    expect(change([1, 0, 0]), .badRegionName, at: 119)
    expect(change([1, 64] + [UInt8](repeating: a, count: 64)), .badRegionName, at: 119)
    expect(change([1, 1, UInt8(ascii: "A")]), .badRegionName, at: 119)
    expect(change([1, 1, UInt8(ascii: "1")]), .badRegionName, at: 119)
    expect(change([1, 2, a, 0xFF]), .badRegionName, at: 119)
    expect(change([1, 3, a, 0xCC, 0x81]), .badRegionName, at: 119)  // A combining accent.
    expect(change([1, 0x80, 0x01, a]), .badRegionName, at: 119)
  }

  @Test func encodingChecksWhatTheTypesDoNot() throws {
    var entry = try LogEntry(decoding: Self.bytes([0]))
    entry.actor = String(repeating: "a", count: 1025)
    #expect(throws: LogCodingError(.textTooLong(byteCount: 1025), at: 112)) {
      try entry.encoded()
    }
    entry.actor = ""
    entry.events = [
      .allowedRegionsChanged(
        route: RouteID(1), start: .least, regions: [try Region("b"), try Region("a")])
    ]
    #expect(throws: LogCodingError(.regionsNotAscending, at: 121)) { try entry.encoded() }
  }
}
