import NIOCore
import NIOHTTP2
import Synchronization

/// How many bytes a node has of messages whose ends have not come.
///
/// HTTP/2's windows do not bound that. They hold a sender back while what it sent waits to be looked at;
/// but gRPC takes each frame at once and gathers what belongs to a message that is not whole, and the
/// transport opens the windows of stream and connection again for more. A caller that sends all of a
/// message but its last byte, on each of 4,096 streams, would have 4,096 × 16 MiB = 64 GiB gathered for
/// one connection. So the bytes are counted, and the call that goes over a bound is ended:
///
/// - one connection, four messages of the greatest length: 64 MiB;
/// - the node, sixteen of them: 256 MiB, of at most twice that allocated, as buffers double.
///
/// Calls whose message comes in one frame, as nearly all do, count for nothing and are never ended.
package final class UnfinishedMessages: Sendable {
  private let limit: Int
  private let count = Mutex(0)

  /// Whose messages may have `messageByteCount` bytes each.
  package init(messageByteCount: Int) { limit = 16 * messageByteCount }

  /// How many bytes there are.
  package var byteCount: Int { count.withLock { $0 } }

  /// Adds a number of bytes, or takes some off; false, and nothing happens, when they are too many.
  fileprivate func add(_ bytes: Int) -> Bool {
    count.withLock { count in
      guard bytes <= 0 || count + bytes <= limit else { return false }
      count += bytes
      return true
    }
  }
}

/// The share of one connection in the node's unfinished messages. Sees nothing of what is sent: the
/// handlers of its streams find it by its type.
final class ConnectionMessages: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private let node: UnfinishedMessages
  private let limit: Int
  private var byteCount = 0

  init(_ node: UnfinishedMessages, messageByteCount: Int) {
    self.node = node
    limit = 4 * messageByteCount
  }

  /// Like the node's own.
  func add(_ bytes: Int) -> Bool {
    guard bytes <= 0 || byteCount + bytes <= limit, node.add(bytes) else { return false }
    byteCount += bytes
    return true
  }
}

/// Counts what has come of a call's message, and ends the call where that is too much beside all others.
/// Callers of gRPC hear of it as RESOURCE_EXHAUSTED.
final class UnfinishedMessageHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTP2Frame.FramePayload
  typealias InboundOut = HTTP2Frame.FramePayload
  typealias OutboundOut = HTTP2Frame.FramePayload

  private var connection: ConnectionMessages?
  private var progress = MessageProgress()
  private var counted = 0
  private var isEnded = false

  func handlerAdded(context: ChannelHandlerContext) {
    connection = try? context.channel.parent?.pipeline.syncOperations
      .handler(type: ConnectionMessages.self)
  }

  func handlerRemoved(context: ChannelHandlerContext) { end() }

  func channelInactive(context: ChannelHandlerContext) {
    end()
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isEnded else { return }
    if case .data(let payload) = unwrapInboundIn(data), case .byteBuffer(let buffer) = payload.data
    {
      buffer.withUnsafeReadableBytes { progress.take($0) }
      let count = progress.unfinishedByteCount
      guard connection?.add(count - counted) ?? true else {
        end()
        return context.writeAndFlush(wrapOutboundOut(.rstStream(.enhanceYourCalm)), promise: nil)
      }
      counted = count
    }
    context.fireChannelRead(data)
  }

  private func end() {
    isEnded = true
    _ = connection?.add(-counted)
    counted = 0
  }
}
