import CadastreClient
import Synchronization

/// Runs `body`, and cancels it when it takes longer than `limit`.
///
/// - Throws: What `body` throws; what `orThrow` makes when the time was up first.
func within<Result: Sendable>(
  _ limit: Duration, _ body: @escaping @Sendable () async throws -> Result,
  orThrow timeout: @escaping @Sendable () -> NodeError
) async throws -> Result {
  try await withThrowingTaskGroup(of: Result.self) { group in
    group.addTask { try await body() }
    group.addTask {
      try await Task.sleep(for: limit)
      throw timeout()
    }
    defer { group.cancelAll() }
    guard let result = try await group.next() else { throw CancellationError() }
    return result
  }
}

/// Runs `body`, and cancels it when it says nothing for `limit`, which is noticed before twice that
/// is over. `body` is given what to call when something was heard.
///
/// - Throws: What `body` throws; what `orThrow` makes when nothing was heard.
func whileHeard<Result: Sendable>(
  every limit: Duration,
  _ body: @escaping @Sendable (_ heard: @escaping @Sendable () -> Void) async throws -> Result,
  orThrow silence: @escaping @Sendable () -> NodeError
) async throws -> Result {
  let pulse = Pulse()
  return try await withThrowingTaskGroup(of: Result.self) { group in
    group.addTask { try await body { pulse.beat() } }
    group.addTask {
      while true {
        let before = pulse.count
        try await Task.sleep(for: limit)
        guard pulse.count != before else { throw silence() }
      }
    }
    defer { group.cancelAll() }
    guard let result = try await group.next() else { throw CancellationError() }
    return result
  }
}

private final class Pulse: Sendable {
  private let beats = Atomic<UInt64>(0)

  var count: UInt64 { beats.load(ordering: .relaxed) }
  func beat() { beats.wrappingAdd(1, ordering: .relaxed) }
}

/// Runs `body`, and cancels it when `stop` is closed first.
///
/// - Returns: false when it was.
func unless(
  _ stop: WakeHub, _ body: @escaping @Sendable () async throws -> Void
) async throws -> Bool {
  try await withThrowingTaskGroup(of: Bool.self) { group in
    group.addTask {
      try await body()
      return true
    }
    group.addTask {
      await stop.untilClosed()
      return false
    }
    defer { group.cancelAll() }
    return try await group.next() ?? false
  }
}
