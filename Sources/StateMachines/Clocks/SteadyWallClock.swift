import Catalog

/// The wall clock, without jumps ahead: readings that a machine's clock gives beside its monotonic
/// one, of which those are held back that are further ahead than time can have passed.
///
/// One reading that is years ahead would take all timestamps there for good. A clock that goes back
/// or stops is passed on as it is: timestamps rise all the same. One that stays ahead is followed
/// slowly, an eighth faster than time passes, so that a clock which was set right is right in the
/// end. Pure: readings are arguments.
package struct SteadyWallClock: Sendable {
  /// How far the wall clock may jump ahead at once.
  package let maximumSkew: Duration
  /// How far ahead of what was made of it the wall clock was at the last reading; zero when it was
  /// taken as it is.
  package private(set) var heldBack: Duration = .zero
  /// The furthest that it ever was.
  package private(set) var furthest: Duration = .zero
  /// What was made of the last reading, in nanoseconds since 1970, and when.
  private var last: (wall: UInt64, at: MonotonicTime)?

  package init(maximumSkew: Duration = HybridClock.defaultMaximumSkew) {
    self.maximumSkew = maximumSkew
  }

  /// What the wall clock's reading, in milliseconds since 1970, is taken for at a time.
  package mutating func reading(_ wallMilliseconds: UInt64, at time: MonotonicTime) -> UInt64 {
    let (product, overflow) = wallMilliseconds.multipliedReportingOverflow(by: 1_000_000)
    let wall = overflow ? .max : product
    guard let before = last else {
      last = (wall, time)
      return wallMilliseconds
    }
    let passed = (time - before.at).wholeNanoseconds
    let limit = Self.sum(before.wall, passed, maximumSkew.wholeNanoseconds)
    guard wall > limit else {
      heldBack = .zero
      last = (wall, max(time, before.at))
      return wallMilliseconds
    }
    let followed = Self.sum(before.wall, passed, passed / 8)
    heldBack = .nanoseconds(Int64(clamping: wall - followed))
    furthest = max(furthest, heldBack)
    last = (followed, max(time, before.at))
    return followed / 1_000_000
  }

  private static func sum(_ numbers: UInt64...) -> UInt64 {
    numbers.reduce(0) { sum, number in
      let (next, overflow) = sum.addingReportingOverflow(number)
      return overflow ? .max : next
    }
  }
}
