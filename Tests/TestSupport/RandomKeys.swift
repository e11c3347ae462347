import Catalog

extension Key {
  /// The key of this text's UTF-8 bytes; for keys that a test spells out.
  ///
  /// - Precondition: At most ``Key/maximumLength`` bytes.
  package init(_ text: String) {
    self.init(unchecked: Array(text.utf8))
  }

  /// A key of `length` bytes. A small `alphabet` makes ties and long common prefixes likely.
  package static func random(
    length: ClosedRange<Int> = 0...24, alphabet: ClosedRange<UInt8> = 0...255,
    using generator: inout SeededGenerator
  ) -> Key {
    let count = Int.random(in: length, using: &generator)
    return Key(unchecked: (0..<count).map { _ in UInt8.random(in: alphabet, using: &generator) })
  }

  /// `count` different keys, sorted, of the kinds that find bugs: empty, short, long with a common
  /// beginning, zero bytes, `0xFF` bytes, one a prefix of the next.
  package static func randomSet(
    count: Int, including first: [Key] = [], using generator: inout SeededGenerator
  ) -> [Key] {
    var keys = Set(first)
    var last = Key.least
    while keys.count < count {
      var bytes: [UInt8]
      switch Int.random(in: 0..<6, using: &generator) {
      case 0:
        bytes = Key.random(length: 0...3, using: &generator).bytes
      case 1:
        bytes = Key.random(length: 1...12, alphabet: 0x61...0x63, using: &generator).bytes
      case 2:
        bytes = Array("usr/share/doc/".utf8)
        bytes += Key.random(length: 1...20, alphabet: 0x61...0x7A, using: &generator).bytes
      case 3:
        bytes = last.bytes + [UInt8.random(in: 0...255, using: &generator)]
      case 4:
        bytes = Array(repeating: Bool.random(using: &generator) ? 0 : 0xFF, count: 7)
        bytes += Key.random(length: 1...3, using: &generator).bytes
      default:
        bytes = Key.random(length: 12...40, using: &generator).bytes
      }
      if bytes.count > Key.maximumLength { bytes = [] }
      last = Key(unchecked: bytes)
      keys.insert(last)
    }
    return keys.sorted()
  }
}
