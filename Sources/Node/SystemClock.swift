import Foundation

/// A reading of a clock that only runs forward, from an arbitrary start: for how long things last,
/// never for when they happened.
package struct Moment: Comparable, Hashable, Sendable {
  /// Since the clock's start.
  package let sinceStart: Duration

  package init(sinceStart: Duration) { self.sinceStart = sinceStart }

  package static func < (left: Moment, right: Moment) -> Bool {
    left.sinceStart < right.sinceStart
  }

  package static func + (moment: Moment, duration: Duration) -> Moment {
    Moment(sinceStart: moment.sinceStart + duration)
  }

  package static func - (later: Moment, earlier: Moment) -> Duration {
    later.sinceStart - earlier.sinceStart
  }
}

/// Where a node learns the time: the system's clocks in production, a test's own elsewhere.
package struct NodeClock: Sendable {
  /// Milliseconds since 1970. May jump, either way.
  package var wallMilliseconds: @Sendable () -> UInt64
  /// A clock that never goes back.
  package var now: @Sendable () -> Moment

  package init(
    wallMilliseconds: @escaping @Sendable () -> UInt64, now: @escaping @Sendable () -> Moment
  ) {
    self.wallMilliseconds = wallMilliseconds
    self.now = now
  }
}

extension NodeClock {
  /// The clocks of this machine. The only place that reads them.
  package static let system: NodeClock = {
    let start = ContinuousClock.now
    return NodeClock(
      wallMilliseconds: { UInt64(max(0, Date().timeIntervalSince1970 * 1000)) },
      now: { Moment(sinceStart: start.duration(to: .now)) })
  }()
}

extension Duration {
  /// Whole milliseconds, rounded up, so that a duration is never told shorter than it is; 0 for a
  /// negative one.
  package var wholeMilliseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1000)
    guard !overflow else { return .max }
    return product + UInt64((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
  }

  /// A caller's number of milliseconds, at most a century, so that sums with it cannot overflow.
  package init(boundedMilliseconds milliseconds: UInt64) {
    self = .milliseconds(Int64(min(milliseconds, 3_155_760_000_000)))
  }
}
