/// The clocks of one simulated machine: one that runs on, a little too fast or too slow, and a wall
/// clock that jumps and stops.
struct LocalClock {
  /// How much faster than the world's the clocks run: 0.0005 is half a millisecond a second.
  var drift = 0.0
  /// What was added to the wall clock, in milliseconds.
  var wallOffset: Int64 = 0
  /// The reading that the wall clock stopped at.
  var stoppedAt: UInt64?

  /// The wall clock's reading at the start of the world, in milliseconds since 1970.
  private static let start: Int64 = 1_785_312_000_000

  /// Since the start of the world; never goes back.
  func monotonic(at now: Duration) -> Duration { now * (1 + drift) }

  /// Milliseconds since 1970.
  func wallMilliseconds(at now: Duration) -> UInt64 {
    if let stoppedAt { return stoppedAt }
    let milliseconds = Int64(monotonic(at: now) / .milliseconds(1))
    return UInt64(max(0, Self.start + milliseconds + wallOffset))
  }
}
