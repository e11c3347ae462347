import Logging
import NIOCore
import Synchronization

/// The connections that callers have to a node, so that there are not too many, and so that they can
/// be closed when it has to end: a caller that vanished without a word never closes its own.
package final class OpenConnections: Sendable {
  private struct State {
    var channels: [ObjectIdentifier: any Channel] = [:]
    var isClosed = false
    var lastNote: NIODeadline?
    var unsaidNotes = 0
  }

  private let state = Mutex(State())
  private let logger: Logger?

  package init(logger: Logger? = nil) { self.logger = logger }

  /// How many are open now.
  package var count: Int { state.withLock { $0.channels.count } }

  /// Keeps a connection until it is closed. After ``closeAll()`` it is closed at once.
  ///
  /// - Returns: Whether it may stay; not one more than `maximumCount`.
  @discardableResult
  func add(_ channel: any Channel, atMost maximumCount: Int = .max) -> Bool {
    let (isClosed, isTooMany) = state.withLock { state in
      let isTooMany = state.channels.count >= maximumCount
      if !state.isClosed, !isTooMany { state.channels[ObjectIdentifier(channel)] = channel }
      return (state.isClosed, isTooMany)
    }
    if isTooMany {
      note("closed a connection that was one more than the \(maximumCount) allowed", channel)
      return false
    }
    if isClosed {
      channel.close(promise: nil)
      return true
    }
    channel.closeFuture.whenComplete { [weak self] _ in
      // In a statement of its own: what is removed is released outside of the lock.
      _ = self?.state.withLock { $0.channels.removeValue(forKey: ObjectIdentifier(channel)) }
    }
    return true
  }

  /// Closes all connections without asking the callers, now and those that come later, and waits until
  /// those of now are closed.
  package func closeAll() async {
    let channels = state.withLock { state in
      state.isClosed = true
      return Array(state.channels.values)
    }
    for channel in channels { channel.close(promise: nil) }
    for channel in channels { try? await channel.closeFuture.get() }
  }

  /// Logs what became of a connection: one line a second at most, since callers decide how many
  /// there would be.
  func note(_ text: String, _ channel: any Channel) {
    guard let logger else { return }
    let now = NIODeadline.now()
    let unsaid = state.withLock { state -> Int? in
      if let last = state.lastNote, now - last < .seconds(1) {
        state.unsaidNotes += 1
        return nil
      }
      defer { (state.lastNote, state.unsaidNotes) = (now, 0) }
      return state.unsaidNotes
    }
    guard let unsaid else { return }
    var metadata: Logger.Metadata = [
      "peer": "\(channel.remoteAddress?.ipAddress ?? "unknown"):\(channel.remoteAddress?.port ?? 0)"
    ]
    if unsaid > 0 { metadata["unsaid"] = "\(unsaid)" }
    logger.notice("\(text)", metadata: metadata)
  }
}
