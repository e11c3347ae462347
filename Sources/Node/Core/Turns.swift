import Synchronization

/// Lets so many at a time do something that takes memory or a thread; the others wait for their turn,
/// first come first served.
package final class Turns: Sendable {
  private typealias Waiter = CheckedContinuation<Void, any Error>

  private struct State {
    var free: Int
    /// Those that wait, in the order in which they came; one without a continuation has yet to wait.
    var queue: [UInt64] = []
    var waiters: [UInt64: Waiter] = [:]
    var nextID: UInt64 = 0
  }

  private let state: Mutex<State>

  /// - Precondition: `count` is above 0.
  package init(_ count: Int) {
    precondition(count > 0, "nobody would ever have a turn")
    state = Mutex(State(free: count))
  }

  /// How many wait for their turn now.
  package var waiting: Int { state.withLock { $0.waiters.count } }

  /// Does `body` when its turn has come.
  ///
  /// - Throws: `CancellationError` when the task is cancelled while it waits; what `body` throws.
  package func withTurn<Result: Sendable>(
    _ body: @Sendable () async throws -> Result
  ) async throws -> Result {
    try await take()
    defer { pass() }
    return try await body()
  }

  private func take() async throws {
    let place: UInt64? = state.withLock { state in
      if state.free > 0 {
        state.free -= 1
        return nil
      }
      state.nextID += 1
      state.queue.append(state.nextID)
      return state.nextID
    }
    guard let place else { return }
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (waiter: Waiter) in
        // The turn may have come, or the task been cancelled, before it began to wait.
        let answer: Swift.Result<Void, any Error>? = state.withLock { state in
          guard state.queue.contains(place) else { return .success(()) }
          if Task.isCancelled {
            state.queue.removeAll { $0 == place }
            return .failure(CancellationError())
          }
          state.waiters[place] = waiter
          return nil
        }
        if let answer { waiter.resume(with: answer) }
      }
    } onCancel: {
      let waiter = state.withLock { state -> Waiter? in
        guard let waiter = state.waiters.removeValue(forKey: place) else { return nil }
        state.queue.removeAll { $0 == place }
        return waiter
      }
      waiter?.resume(throwing: CancellationError())
    }
  }

  /// Passes the turn on to who has waited longest.
  private func pass() {
    let waiter = state.withLock { state -> Waiter? in
      guard !state.queue.isEmpty else {
        state.free += 1
        return nil
      }
      return state.waiters.removeValue(forKey: state.queue.removeFirst())
    }
    waiter?.resume()
  }
}
