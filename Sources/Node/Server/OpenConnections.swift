import NIOCore
import Synchronization

/// The connections that callers have to a node, so that they can be closed when it has to end: a
/// caller that vanished without a word never closes its own.
package final class OpenConnections: Sendable {
  private struct State {
    var channels: [ObjectIdentifier: any Channel] = [:]
    var isClosed = false
  }

  private let state = Mutex(State())

  package init() {}

  /// How many are open now.
  package var count: Int { state.withLock { $0.channels.count } }

  /// Keeps a connection until it is closed. After ``closeAll()`` it is closed at once.
  func add(_ channel: any Channel) {
    let isClosed = state.withLock { state in
      if !state.isClosed { state.channels[ObjectIdentifier(channel)] = channel }
      return state.isClosed
    }
    if isClosed { return channel.close(promise: nil) }
    channel.closeFuture.whenComplete { [weak self] _ in
      // In a statement of its own: what is removed is released outside of the lock.
      _ = self?.state.withLock { $0.channels.removeValue(forKey: ObjectIdentifier(channel)) }
    }
  }

  /// Closes all connections without asking the callers, now and those that come later.
  package func closeAll() {
    let channels = state.withLock { state in
      state.isClosed = true
      return Array(state.channels.values)
    }
    for channel in channels { channel.close(promise: nil) }
  }
}
