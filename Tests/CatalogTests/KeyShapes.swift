import TestSupport

@testable import Catalog

/// Draws keys that are hard on a tree of prefixes and heads.
enum KeyShape: CaseIterable {
  /// A few short ones, among them the empty key: hits, prefixes of each other, ties by length.
  case tiny
  /// Zeros and 0xFF, which look like the padding of heads and like the end of everything.
  case extremes
  /// Long shared prefixes and small differences behind them.
  case shared
  /// Ties in the first 8 and 16 bytes of what differs.
  case tied
  /// Runs of keys with much in common past their first 8 bytes, at times more than 255 bytes, that
  /// others leave early or end within.
  case runs
  /// Of any length up to the longest, often with nothing in common.
  case long
  /// 12 to 40 bytes.
  case plain

  func draw(_ random: inout SeededGenerator) -> [UInt8] {
    switch self {
    case .tiny:
      return (0..<random.below(4)).map { _ in UInt8(ascii: "a") + UInt8(random.below(3)) }
    case .extremes:
      return (0..<random.below(20)).map { _ in [0, 0, 0xFF, 1][random.below(4)] }
    case .shared:
      let depth = random.below(4)
      let path = (0..<depth).map { "/some-long-directory-\($0 == 1 ? random.below(2) : 0)" }
      return Array((path.joined() + "/\(random.below(200))").utf8)
    case .tied:
      let stem = [UInt8](
        repeating: UInt8(ascii: "x"), count: [7, 8, 9, 15, 16, 17, 24][random.below(7)])
      return stem + (0..<random.below(5)).map { _ in UInt8(random.below(3)) }
    case .runs:
      let stem = [UInt8](repeating: UInt8(random.below(2)), count: 8)
      let common = (0..<300).map { UInt8($0 / 16 % 3) }
      let length = [0, 1, 7, 8, 9, 20, 254, 255, 256, 300, random.below(300)][random.below(11)]
      return stem + common[..<length] + (0..<random.below(4)).map { _ in UInt8(random.below(4)) }
    case .long:
      let length = random.below(2) == 0 ? 4096 - random.below(3) : random.below(4097)
      let byte = UInt8(random.below(3))
      var key = [UInt8](repeating: byte, count: length)
      for _ in 0..<3 where !key.isEmpty { key[random.below(key.count)] = UInt8(random.below(256)) }
      return key
    case .plain:
      return (0..<12 + random.below(29)).map { _ in UInt8(random.below(256)) }
    }
  }

  /// A key of any shape.
  static func drawAny(_ random: inout SeededGenerator) -> [UInt8] {
    allCases[random.below(allCases.count)].draw(&random)
  }
}

/// The simplest ordered map: what a `RouteIndex` is compared to.
struct SortedArray: Equatable {
  struct Entry: Equatable {
    var key: [UInt8]
    var payload: [UInt8]
  }

  private(set) var entries: [Entry] = []

  /// Where `key` is or would be.
  func position(of key: [UInt8]) -> (index: Int, found: Bool) {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].key.isOrdered(before: key) { low = middle + 1 } else { high = middle }
    }
    return (low, low < entries.count && entries[low].key == key)
  }

  mutating func upsert(_ key: [UInt8], _ payload: [UInt8]) {
    let (index, found) = position(of: key)
    if found {
      entries[index].payload = payload
    } else {
      entries.insert(Entry(key: key, payload: payload), at: index)
    }
  }

  mutating func remove(_ key: [UInt8]) -> Bool {
    let (index, found) = position(of: key)
    if found { entries.remove(at: index) }
    return found
  }

  func atOrBefore(_ key: [UInt8]) -> Entry? {
    let (index, found) = position(of: key)
    return found ? entries[index] : index > 0 ? entries[index - 1] : nil
  }

  func atOrAfter(_ key: [UInt8]) -> Entry? {
    let (index, _) = position(of: key)
    return index < entries.count ? entries[index] : nil
  }

  func after(_ key: [UInt8]) -> Entry? {
    let (index, found) = position(of: key)
    let next = found ? index + 1 : index
    return next < entries.count ? entries[next] : nil
  }
}

extension RouteIndex {
  /// All entries in order.
  var allEntries: [SortedArray.Entry] {
    var entries: [SortedArray.Entry] = []
    var cursor = Cursor(self)
    cursor.seekToFirst()
    while let entry = cursor.entry {
      entries.append(SortedArray.Entry(entry))
      cursor.moveToNext()
    }
    return entries
  }
}

extension SortedArray.Entry {
  init(_ entry: RouteIndex.Entry) {
    self.init(key: entry.key, payload: Array(entry.payload))
  }
}

extension [UInt8] {
  /// As `lexicographicallyPrecedes`, which is slow in debug builds.
  func isOrdered(before other: [UInt8]) -> Bool {
    withUnsafeBytes { left in other.withUnsafeBytes { left.isOrdered(before: $0) } }
  }
}

extension RouteIndex.Editor {
  @discardableResult
  mutating func upsert(_ key: [UInt8], _ payload: [UInt8]) -> Bool {
    key.withUnsafeBytes { key in payload.withUnsafeBytes { upsert(key: key, payload: $0) } }
  }

  @discardableResult
  mutating func remove(_ key: [UInt8]) -> Bool {
    key.withUnsafeBytes { remove(key: $0) }
  }
}

/// A payload that is mostly short, seldom long.
func drawPayload(_ random: inout SeededGenerator) -> [UInt8] {
  let length = random.below(50) == 0 ? random.below(3000) : random.below(24)
  return (0..<length).map { _ in UInt8(random.below(256)) }
}

extension SeededGenerator {
  /// A number below `bound`.
  mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
}
