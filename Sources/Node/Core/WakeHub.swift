import Synchronization

/// Wakes whoever waits for the catalog to change: reads that ask for a version that is not there
/// yet, watchers, followers.
///
/// Nothing queues up: a subscription that is woken twice before it looks has been woken once.
/// What changed is read from the published state. Deadlines are kept here too, and looked at by
/// ``tick(_:)``, so that a thousand idle watchers cost one timer.
package final class WakeHub: Sendable {
  /// Why a wait ended.
  package enum Wake: Sendable {
    /// Something changed, or the subscription was poked.
    case changed
    /// The moment that was waited for is past.
    case due
    /// The node is shutting down.
    case closed
    /// The waiting task was cancelled.
    case cancelled
  }

  private struct State {
    var subscriptions: [UInt64: Subscription] = [:]
    var nextID: UInt64 = 0
    var isClosed = false
  }

  private let state = Mutex(State())

  package init() {}

  /// Whether ``close()`` was called.
  package var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Wakes every subscription. O(*n*) in their number.
  package func publish() {
    for subscription in all { subscription.wake(.changed) }
  }

  /// Wakes the subscriptions that wait for a moment that is past. O(*n*) in their number.
  package func tick(_ now: Moment) {
    for subscription in all { subscription.tick(now) }
  }

  /// Ends every wait, now and later, with ``Wake/closed``.
  package func close() {
    let subscriptions = state.withLock { state in
      state.isClosed = true
      return Array(state.subscriptions.values)
    }
    for subscription in subscriptions { subscription.wake(.closed) }
  }

  /// Returns once ``close()`` was called, or the task is cancelled.
  package func untilClosed() async {
    await withSubscription { subscription in
      while true {
        switch await subscription.wait() {
        case .closed, .cancelled: return
        case .changed, .due: continue
        }
      }
    }
  }

  /// Lends a subscription to `body`. Subscribe first, then look at the state, then wait: a change
  /// after the look then ends the wait.
  package func withSubscription<Result>(
    isolation: isolated (any Actor)? = #isolation,
    _ body: (Subscription) async throws -> Result
  ) async rethrows -> Result {
    let subscription = Subscription()
    let id = state.withLock { state in
      state.nextID += 1
      state.subscriptions[state.nextID] = subscription
      if state.isClosed { subscription.wake(.closed) }
      return state.nextID
    }
    defer { state.withLock { $0.subscriptions[id] = nil } }
    return try await body(subscription)
  }

  private var all: [Subscription] {
    state.withLock { Array($0.subscriptions.values) }
  }

  /// One waiter's place in the hub. Only one task may wait at a time.
  package final class Subscription: Sendable {
    private struct State {
      var pending: Wake?
      var waiter: CheckedContinuation<Wake, Never>?
      var due: Moment?
    }

    private let state = Mutex(State())

    fileprivate init() {}

    /// Ends this wait, or the next one, as a change does.
    package func poke() { wake(.changed) }

    /// Ends this wait, or the next one, with ``Wake/cancelled``.
    package func cancel() { wake(.cancelled) }

    /// Waits for a change, at most until `due`, which is seen at the next tick after it.
    package func wait(until due: Moment? = nil) async -> Wake {
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let wake: Wake? = state.withLock { state in
            guard let pending = state.pending else {
              state.waiter = continuation
              state.due = due
              return nil
            }
            // A node that is shutting down stays so.
            if case .closed = pending {} else { state.pending = nil }
            return pending
          }
          if let wake { continuation.resume(returning: wake) }
        }
      } onCancel: {
        wake(.cancelled)
      }
    }

    fileprivate func wake(_ wake: Wake) {
      let waiter = state.withLock { state -> CheckedContinuation<Wake, Never>? in
        if let waiter = state.waiter {
          state.waiter = nil
          if case .closed = wake { state.pending = .closed }
          return waiter
        }
        switch (state.pending, wake) {
        case (.closed, _), (.cancelled, .changed): break
        default: state.pending = wake
        }
        return nil
      }
      waiter?.resume(returning: wake)
    }

    fileprivate func tick(_ now: Moment) {
      let waiter = state.withLock { state -> CheckedContinuation<Wake, Never>? in
        guard let due = state.due, due <= now, let waiter = state.waiter else { return nil }
        (state.waiter, state.due) = (nil, nil)
        return waiter
      }
      waiter?.resume(returning: .due)
    }
  }
}
