/// Writes the values of the log's format, each in its one form.
struct ByteWriter {
  private(set) var bytes: [UInt8] = []

  init(reserving byteCount: Int) { bytes.reserveCapacity(byteCount) }

  mutating func byte(_ value: UInt8) { bytes.append(value) }

  /// Eight bytes, little-endian.
  mutating func fixed64(_ value: UInt64) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func append(_ other: [UInt8]) { bytes.append(contentsOf: other) }

  /// An unsigned LEB128 number in as few bytes as it takes.
  mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  mutating func key(_ key: Key) throws(LogCodingError) {
    guard key.bytes.count <= Key.maximumLength else {
      throw LogCodingError(.keyTooLong(byteCount: UInt64(key.bytes.count)), at: bytes.count)
    }
    varint(UInt64(key.bytes.count))
    bytes.append(contentsOf: key.bytes)
  }

  mutating func text(_ text: String) throws(LogCodingError) {
    let count = text.utf8.count
    guard count <= LogEntry.maximumTextByteCount else {
      throw LogCodingError(.textTooLong(byteCount: UInt64(count)), at: bytes.count)
    }
    varint(UInt64(count))
    bytes.append(contentsOf: text.utf8)
  }

  mutating func regions(_ regions: [Region]) throws(LogCodingError) {
    guard regions.count <= Region.maximumCount else {
      throw LogCodingError(.tooManyRegions(count: regions.count), at: bytes.count)
    }
    varint(UInt64(regions.count))
    var last: Region?
    for region in regions {
      if let last, region <= last { throw LogCodingError(.regionsNotAscending, at: bytes.count) }
      varint(UInt64(region.name.utf8.count))
      bytes.append(contentsOf: region.name.utf8)
      last = region
    }
  }
}
