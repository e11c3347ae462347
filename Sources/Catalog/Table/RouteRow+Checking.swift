extension RouteRow {
  /// Reads a row that may hold anything, and reads nothing past it. What
  /// ``withBytes(_:)`` does not write is refused.
  ///
  /// - Throws: ``LogCodingError``, with the offset in the row.
  init(checking row: UnsafeRawBufferPointer) throws(LogCodingError) {
    var reader = ByteReader(row)
    let lengths = try reader.byte()
    state = try reader.routeState().rawValue
    id = try reader.number(byteCount: lengths & 0xF)
    group = try reader.number(byteCount: lengths >> 4)
    parent = try reader.varint()
    version = try reader.varint()
    let start = reader.offset
    let milliseconds = try reader.varint()
    let counter = try reader.varint()
    guard milliseconds < 1 << 48, counter < 1 << 16 else {
      throw LogCodingError(.varintTooLarge, at: start)
    }
    changedAt = HybridTimestamp(milliseconds << 16 | counter)
    regions = UnsafeRawBufferPointer(rebasing: row[reader.offset...])
    try reader.checkRegions()
    guard reader.remaining == 0 else {
      throw LogCodingError(.trailingBytes(count: reader.remaining), at: reader.offset)
    }
  }
}

extension ByteReader {
  /// A little-endian number of 1 to 8 bytes, in as few as it takes.
  fileprivate mutating func number(byteCount: UInt8) throws(LogCodingError) -> UInt64 {
    let start = offset
    guard (1...8).contains(byteCount) else { throw LogCodingError(.varintTooLarge, at: start) }
    var value: UInt64 = 0
    for byte in try slice(count: Int(byteCount)).reversed() { value = value << 8 | UInt64(byte) }
    guard byteCount == 1 || value >> (8 * UInt64(byteCount - 1)) != 0 else {
      throw LogCodingError(.varintNotShortest, at: start)
    }
    return value
  }

  /// As ``regions()``, without making any.
  fileprivate mutating func checkRegions() throws(LogCodingError) {
    let start = offset
    let count = try count(minimumByteCount: LogFormat.minimumRegionByteCount)
    guard count <= Region.maximumCount else {
      throw LogCodingError(.tooManyRegions(count: count), at: start)
    }
    var last = UnsafeRawBufferPointer.empty
    for _ in 0..<count {
      let start = offset
      let length = try varint()
      guard length <= UInt64(Region.maximumLength) else {
        throw LogCodingError(.badRegionName, at: start)
      }
      let name = try slice(count: Int(length))
      guard Region.isName(name) else { throw LogCodingError(.badRegionName, at: start) }
      guard last.isOrdered(before: name) else {
        throw LogCodingError(.regionsNotAscending, at: start)
      }
      last = name
    }
  }
}

extension Region {
  /// Whether the bytes are the name of a region.
  static func isName(_ utf8: some RandomAccessCollection<UInt8>) -> Bool {
    guard let first = utf8.first, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(first),
      utf8.count <= maximumLength
    else { return false }
    return utf8.allSatisfy {
      switch $0 {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "-"):
        true
      default: false
      }
    }
  }
}
