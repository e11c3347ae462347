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
