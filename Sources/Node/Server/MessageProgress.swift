/// Where in the messages of a call its caller is, by their lengths alone: five bytes go before each, of
/// which the last four say how long it is. What is in them gRPC itself finds out.
package struct MessageProgress: Sendable {
  private static let headerByteCount = 5

  private var headerCount = 0
  private var length = 0
  /// How many bytes of the message are to come.
  private var rest = 0

  package init() {}

  /// How many bytes there are of a message that is not whole.
  package var unfinishedByteCount: Int { headerCount + length - rest }

  /// Follows the next bytes. O(messages).
  package mutating func take(_ bytes: UnsafeRawBufferPointer) {
    var index = 0
    while index < bytes.count {
      if headerCount < Self.headerByteCount {
        if headerCount > 0 { length = length << 8 | Int(bytes[index]) }
        headerCount += 1
        index += 1
        rest = length
        guard headerCount == Self.headerByteCount, length == 0 else { continue }
      } else {
        let count = min(rest, bytes.count - index)
        rest -= count
        index += count
        guard rest == 0 else { continue }
      }
      (headerCount, length) = (0, 0)
    }
  }
}
