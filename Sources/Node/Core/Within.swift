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
