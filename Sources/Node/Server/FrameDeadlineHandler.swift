import NIOCore

/// Closes the connection of a caller that keeps a node waiting in the middle of something: its
/// greeting, a frame, or the head of a call. In between it may be silent for as long as it likes.
///
/// Nothing else would: such a caller may well answer keepalives, and costs a connection for ever. It
/// stands between TLS, whose handshake is part of the greeting, and HTTP/2.
final class FrameDeadlineHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private let patience: TimeAmount
  private let onDeadline: @Sendable (any Channel) -> Void
  private var progress = FrameProgress()
  /// Since when the caller has been in the middle of what it is in the middle of.
  private var waitingSince: NIODeadline?
  /// One at a time, and it is left to run out: most of what is waited for comes long before.
  private var timer: Scheduled<Void>?

  /// `onDeadline` is told of a connection that is about to be closed.
  init(patience: Duration, onDeadline: @escaping @Sendable (any Channel) -> Void) {
    self.patience = TimeAmount(patience)
    self.onDeadline = onDeadline
  }

  func handlerAdded(context: ChannelHandlerContext) { wait(context) }

  func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

  func channelInactive(context: ChannelHandlerContext) {
    timer?.cancel()
    waitingSince = nil
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let hasEnded = unwrapInboundIn(data).withUnsafeReadableBytes { progress.take($0) }
    if hasEnded || progress.isBetween { waitingSince = nil }
    if !progress.isBetween, waitingSince == nil { wait(context) }
    context.fireChannelRead(data)
  }

  private func wait(_ context: ChannelHandlerContext) {
    let now = context.eventLoop.now
    waitingSince = now
    if timer == nil { schedule(at: now + patience, context) }
  }

  private func schedule(at deadline: NIODeadline, _ context: ChannelHandlerContext) {
    timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
      self.timer = nil
      guard let since = self.waitingSince else { return }
      let due = since + self.patience
      guard due <= context.eventLoop.now else { return self.schedule(at: due, context) }
      self.onDeadline(context.channel)
      context.close(promise: nil)
    }
  }
}
