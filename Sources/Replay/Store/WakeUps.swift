import Synchronization

/// Tells any number of listeners that something happened, without a task or a poll for each. What
/// happened while a listener was busy reaches it as one wake-up.
final class WakeUps: Sendable {
  private struct Listeners {
    var nextID: UInt64 = 0
    var continuations: [UInt64: AsyncStream<Void>.Continuation] = [:]
    var isFinished = false
  }

  private let listeners = Mutex(Listeners())

  /// A new listener: gets a wake-up for all that happens from now on, until it is dropped or its
  /// task is cancelled.
  func listen() -> AsyncStream<Void> {
    let (stream, continuation) = AsyncStream.makeStream(
      of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let id = listeners.withLock { listeners -> UInt64? in
      guard !listeners.isFinished else { return nil }
      defer { listeners.nextID += 1 }
      listeners.continuations[listeners.nextID] = continuation
      return listeners.nextID
    }
    guard let id else {
      continuation.finish()
      return stream
    }
    continuation.onTermination = { [weak self] _ in
      // In a statement of its own: what is removed is released outside of the lock.
      _ = self?.listeners.withLock { $0.continuations.removeValue(forKey: id) }
    }
    return stream
  }

  /// How many listeners there are.
  var listenerCount: Int { listeners.withLock { $0.continuations.count } }

  func wakeAll() {
    let continuations = listeners.withLock { Array($0.continuations.values) }
    for continuation in continuations { continuation.yield() }
  }

  /// Ends all listeners' streams, and those of all that come later.
  func finish() {
    let continuations = listeners.withLock { listeners in
      listeners.isFinished = true
      return Array(listeners.continuations.values)
    }
    // Outside of the lock, which their termination takes.
    for continuation in continuations { continuation.finish() }
  }
}
