/// Reads the values of the log's format from bytes that may hold anything.
///
/// Never reads outside its bytes, and takes no form of a value but the one that ``ByteWriter``
/// writes. Lives no longer than the buffer that it was made from.
struct ByteReader {
  private let bytes: UnsafeRawBufferPointer
  /// How many bytes were read.
  private(set) var offset = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var remaining: Int { bytes.count - offset }

  @inline(__always)
  mutating func byte() throws(LogCodingError) -> UInt8 {
    guard offset < bytes.count else { throw LogCodingError(.truncated, at: offset) }
    defer { offset += 1 }
    return bytes[offset]
  }

  /// Eight bytes, little-endian.
  @inline(__always)
  mutating func fixed64() throws(LogCodingError) -> UInt64 {
    let field = try slice(count: 8)
    return UInt64(littleEndian: field.loadUnaligned(as: UInt64.self))
  }

  /// The next `count` bytes, in place.
  @inline(__always)
  mutating func slice(count: Int) throws(LogCodingError) -> UnsafeRawBufferPointer {
    guard count <= remaining else { throw LogCodingError(.truncated, at: offset) }
    defer { offset += count }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
  }

  /// An unsigned LEB128 number in as few bytes as it takes.
  @inline(__always)
  mutating func varint() throws(LogCodingError) -> UInt64 {
    if offset < bytes.count, bytes[offset] < 0x80 {
      defer { offset += 1 }
      return UInt64(bytes[offset])
    }
    return try longVarint()
  }

  private mutating func longVarint() throws(LogCodingError) -> UInt64 {
    let start = offset
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let next = try byte()
      // The tenth byte has room for the one bit that is left.
      if shift == 63, next > 1 { throw LogCodingError(.varintTooLarge, at: start) }
      value |= UInt64(next & 0x7F) << shift
      if next < 0x80 {
        if next == 0, shift > 0 { throw LogCodingError(.varintNotShortest, at: start) }
        return value
      }
      shift += 7
    }
  }

  /// A number of things that each take at least `minimumByteCount` of the bytes left, so that no
  /// promise makes anybody reserve much more than there is.
  mutating func count(minimumByteCount: Int) throws(LogCodingError) -> Int {
    let start = offset
    let count = try varint()
    guard count <= UInt64(remaining / minimumByteCount) else {
      throw LogCodingError(.countTooLarge(count), at: start)
    }
    return Int(count)
  }

  @inline(__always)
  mutating func key() throws(LogCodingError) -> Key {
    let start = offset
    let count = try varint()
    guard count <= UInt64(Key.maximumLength) else {
      throw LogCodingError(.keyTooLong(byteCount: count), at: start)
    }
    return Key(unchecked: [UInt8](try slice(count: Int(count))))
  }

  /// Well-formed UTF-8 of at most ``LogEntry/maximumTextByteCount`` bytes.
  mutating func text() throws(LogCodingError) -> String {
    let start = offset
    let count = try varint()
    guard count <= UInt64(LogEntry.maximumTextByteCount) else {
      throw LogCodingError(.textTooLong(byteCount: count), at: start)
    }
    let utf8 = try slice(count: Int(count))
    guard let text = String(validating: utf8, as: UTF8.self) else {
      throw LogCodingError(.textNotUTF8, at: start)
    }
    return text
  }

  /// As many bytes as the type has.
  mutating func fixedBytes<Value: FixedBytes>() throws(LogCodingError) -> Value {
    let start = offset
    guard let value = Value(bytes: try slice(count: Value.byteCount)) else {
      throw LogCodingError(.truncated, at: start)
    }
    return value
  }

  mutating func routeState() throws(LogCodingError) -> RouteState {
    let start = offset
    let number = try byte()
    guard let state = RouteState(rawValue: number) else {
      throw LogCodingError(.unknownRouteState(number), at: start)
    }
    return state
  }

  mutating func regions() throws(LogCodingError) -> [Region] {
    let start = offset
    let count = try count(minimumByteCount: LogFormat.minimumRegionByteCount)
    guard count <= Region.maximumCount else {
      throw LogCodingError(.tooManyRegions(count: count), at: start)
    }
    var regions: [Region] = []
    regions.reserveCapacity(min(count, 16))
    for _ in 0..<count {
      let start = offset
      let length = try varint()
      guard length <= UInt64(Region.maximumLength) else {
        throw LogCodingError(.badRegionName, at: start)
      }
      let name = String(decoding: try slice(count: Int(length)), as: UTF8.self)
      // A name that is not UTF-8 was mended to one with a letter that no name has.
      guard let region = try? Region(name) else { throw LogCodingError(.badRegionName, at: start) }
      if let last = regions.last, region <= last {
        throw LogCodingError(.regionsNotAscending, at: start)
      }
      regions.append(region)
    }
    return regions
  }
}
