import NIOCore

/// Answers the other side's PINGs before HTTP/2 sees them, and limits how many it answers.
///
/// A Go peer sends a PING with nearly every message to measure its connection (grpc-go's BDP estimator);
/// swift-nio-http2 counts those among control frames and ends a connection that brings more than 200
/// of them in 30 seconds, with calls under way. It stands between TLS and HTTP/2, follows the frames by
/// their heads alone (RFC 9113, section 4.1), and passes on all else as it came.
package final class PingResponder: ChannelInboundHandler, RemovableChannelHandler {
  package typealias InboundIn = ByteBuffer
  package typealias InboundOut = ByteBuffer
  package typealias OutboundOut = ByteBuffer

  /// How many PINGs are answered in a second, at most; a connection that brings more is closed.
  package static let maximumPerSecond = 2_000

  private static let headerByteCount = 9
  private static let pingByteCount = 8
  private static let pingKind: UInt8 = 6
  private static let acknowledgement: UInt8 = 1

  /// How many bytes of the preface, or of a frame that is passed on, are to come.
  private var passing: Int
  /// The beginning of a frame's header, or of a PING.
  private var held: ByteBuffer?
  private var hasAnswered = false
  private var count = 0
  private var second: NIODeadline = .distantPast

  /// The bytes that a client sends begin with a preface, those of a server do not.
  package init(isServer: Bool) { passing = isServer ? 24 : 0 }

  package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var input = unwrapInboundIn(data)
    if var earlier = held {
      held = nil
      earlier.writeBuffer(&input)
      input = earlier
    }
    while input.readableBytes > 0 {
      let (count, next) = pass(input)
      if count > 0, let slice = input.readSlice(length: count) {
        context.fireChannelRead(wrapInboundOut(slice))
      }
      switch next {
      case .more: break
      case .wait:
        if input.readableBytes > 0 { held = input }
        return
      case .ping:
        input.moveReaderIndex(forwardBy: Self.headerByteCount)
        guard let payload = input.readSlice(length: Self.pingByteCount), mayAnswer(context) else {
          return context.close(promise: nil)
        }
        answer(payload, context)
      }
    }
  }

  private enum Next { case more, wait, ping }

  /// How many bytes from the start can be passed on as they are, and what follows them.
  private func pass(_ input: ByteBuffer) -> (count: Int, next: Next) {
    input.withUnsafeReadableBytes { bytes in
      var index = 0
      while true {
        let count = min(passing, bytes.count - index)
        index += count
        passing -= count
        let left = bytes.count - index
        if left == 0 { return (index, .more) }
        if left < Self.headerByteCount { return (index, .wait) }
        let length =
          Int(bytes[index]) << 16 | Int(bytes[index + 1]) << 8 | Int(bytes[index + 2])
        guard bytes[index + 3] == Self.pingKind, length == Self.pingByteCount,
          bytes[index + 4] & Self.acknowledgement == 0
        else {
          passing = Self.headerByteCount + length
          continue
        }
        return (index, left < Self.headerByteCount + length ? .wait : .ping)
      }
    }
  }

  private func mayAnswer(_ context: ChannelHandlerContext) -> Bool {
    let now = context.eventLoop.now
    if now - second >= .seconds(1) { (second, count) = (now, 0) }
    count += 1
    return count <= Self.maximumPerSecond
  }

  private func answer(_ payload: ByteBuffer, _ context: ChannelHandlerContext) {
    var frame = context.channel.allocator.buffer(
      capacity: Self.headerByteCount + Self.pingByteCount)
    frame.writeBytes([0, 0, UInt8(Self.pingByteCount), Self.pingKind, Self.acknowledgement])
    frame.writeInteger(UInt32(0))
    frame.writeImmutableBuffer(payload)
    context.write(wrapOutboundOut(frame), promise: nil)
    hasAnswered = true
  }

  package func channelReadComplete(context: ChannelHandlerContext) {
    if hasAnswered {
      hasAnswered = false
      context.flush()
    }
    context.fireChannelReadComplete()
  }
}
