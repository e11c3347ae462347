import Foundation

/// Where a ``CatalogClient`` learns the time, and how it waits: the system's clocks, or a test's own.
public struct ClientClock: Sendable {
  /// A reading of a clock that never goes back, since a start of its own.
  public var now: @Sendable () -> Duration
  /// Milliseconds since 1970; stamps answers, and decides nothing.
  public var wallMilliseconds: @Sendable () -> UInt64
  /// Waits so long; throws `CancellationError` when the task is cancelled first.
  public var sleep: @Sendable (Duration) async throws -> Void

  /// A clock that reads and waits as told.
  public init(
    now: @escaping @Sendable () -> Duration,
    wallMilliseconds: @escaping @Sendable () -> UInt64,
    sleep: @escaping @Sendable (Duration) async throws -> Void
  ) {
    self.now = now
    self.wallMilliseconds = wallMilliseconds
    self.sleep = sleep
  }

  /// The clocks of this machine.
  public static let system: ClientClock = {
    let start = ContinuousClock.now
    return ClientClock(
      now: { start.duration(to: .now) },
      wallMilliseconds: { UInt64(max(0, Date().timeIntervalSince1970 * 1000)) },
      sleep: { try await Task.sleep(for: $0, clock: .continuous) })
  }()
}
