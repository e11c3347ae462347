/// Sixteen bytes, held in place: no allocation and no reference count, of which a log's replay would
/// otherwise have several for each entry.
struct InlineBytes16: Hashable, Sendable {
  private var first: UInt64
  private var second: UInt64

  /// Takes sixteen bytes; nil when there are more or fewer.
  init?(_ bytes: some Collection<UInt8>) {
    guard let value = bytes.withRawBytes(count: 16, Self.init(load:)) else { return nil }
    self = value
  }

  /// - Precondition: `data` has 16 bytes.
  init(load data: UnsafeRawBufferPointer) {
    precondition(data.count == 16)
    first = data.loadUnaligned(fromByteOffset: 0, as: UInt64.self)
    second = data.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
  }

  var array: [UInt8] { withUnsafeBytes(of: self) { [UInt8]($0) } }
}

/// Thirty-two bytes, held in place; see ``InlineBytes16``.
struct InlineBytes32: Hashable, Sendable {
  private var low: InlineBytes16
  private var high: InlineBytes16

  /// Takes thirty-two bytes; nil when there are more or fewer.
  init?(_ bytes: some Collection<UInt8>) {
    guard let value = bytes.withRawBytes(count: 32, Self.init(load:)) else { return nil }
    self = value
  }

  /// - Precondition: `data` has 32 bytes.
  init(load data: UnsafeRawBufferPointer) {
    precondition(data.count == 32)
    low = InlineBytes16(load: UnsafeRawBufferPointer(rebasing: data[..<16]))
    high = InlineBytes16(load: UnsafeRawBufferPointer(rebasing: data[16...]))
  }

  var array: [UInt8] { withUnsafeBytes(of: self) { [UInt8]($0) } }
}

extension Collection<UInt8> {
  /// Lends the bytes in one piece when there are `count`; nil otherwise.
  fileprivate func withRawBytes<Result>(
    count: Int, _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result? {
    guard self.count == count else { return nil }
    let result = withContiguousStorageIfAvailable { body(UnsafeRawBufferPointer($0)) }
    return result ?? Array(self).withUnsafeBytes(body)
  }
}
