/// Where in a connection's bytes a caller of HTTP/2 is, by the lengths of its frames alone
/// (RFC 9113, section 4.1): what is in them, and whether they make sense, HTTP/2 itself finds out.
package struct FrameProgress: Sendable {
  private static let prefaceByteCount = 24
  private static let headerByteCount = 9
  private static let headersKind: UInt8 = 1
  private static let continuationKind: UInt8 = 9
  private static let endsHeadFlag: UInt8 = 4

  /// How many bytes of the preface, or of a frame's payload, are to come.
  private var expected = prefaceByteCount
  /// How many bytes of a frame's header were there.
  private var headerCount = 0
  private var length = 0
  private var kind: UInt8 = 0
  /// Whether the head of a call has begun and not ended: it may take several frames.
  private var isInHead = false
  /// Whether the greeting is over, the preface and a first frame.
  private var isGreeted = false

  package init() {}

  /// Whether nothing is unfinished.
  package var isBetween: Bool { isGreeted && expected == 0 && headerCount == 0 && !isInHead }

  /// Follows the next bytes. O(frames), but for the headers of frames.
  ///
  /// - Returns: Whether something ended in them: the greeting, a frame, or the head of a call.
  package mutating func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var (index, hasEnded) = (0, false)
    while index < bytes.count {
      if expected > 0 {
        let count = min(expected, bytes.count - index)
        expected -= count
        index += count
        if expected == 0, headerCount > 0 { hasEnded = endFrame() || hasEnded }
        continue
      }
      take(headerByte: bytes[index])
      index += 1
      guard headerCount == Self.headerByteCount else { continue }
      expected = length
      if expected == 0 { hasEnded = endFrame() || hasEnded }
    }
    return hasEnded
  }

  private mutating func take(headerByte byte: UInt8) {
    switch headerCount {
    case 0: length = Int(byte)
    case 1, 2: length = length << 8 | Int(byte)
    case 3: kind = byte
    case 4:
      switch kind {
      case Self.headersKind: isInHead = byte & Self.endsHeadFlag == 0
      case Self.continuationKind: isInHead = isInHead && byte & Self.endsHeadFlag == 0
      default: break
      }
    default: break
    }
    headerCount += 1
  }

  private mutating func endFrame() -> Bool {
    headerCount = 0
    isGreeted = true
    return !isInHead
  }
}
