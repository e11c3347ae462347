import Synchronization

/// Notices that somebody who should speak now and then has fallen silent.
final class SilenceAlarm: Sendable {
  private let limit: Duration
  // Nil while the listener takes its time: that silence is not the speaker's.
  private let due: Mutex<Moment?>

  /// Something has to be heard within `first`, and within `limit` from then on.
  init(first: Duration, then limit: Duration) {
    self.limit = limit
    due = Mutex(NodeClock.system.now() + first)
  }

  /// Hands on what was heard.
  func heard(_ body: () throws -> Void) rethrows {
    due.withLock { $0 = nil }
    try body()
    due.withLock { $0 = NodeClock.system.now() + limit }
  }

  /// Returns once the silence was too long.
  ///
  /// - Throws: `CancellationError` when the task is cancelled.
  func wait() async throws {
    while true {
      try await Task.sleep(for: min(limit, .seconds(1)) / 4)
      if let due = due.withLock({ $0 }), NodeClock.system.now() > due { return }
    }
  }
}
