/// A reading of a clock that only goes forward, at its own pace, from a start that is its own: only
/// the differences between readings of one clock mean something.
package struct MonotonicTime: Comparable, Hashable, Sendable {
  package let nanoseconds: UInt64
  package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  package static let zero = MonotonicTime(nanoseconds: 0)
  /// Later than any reading.
  package static let never = MonotonicTime(nanoseconds: .max)

  package static func < (left: MonotonicTime, right: MonotonicTime) -> Bool {
    left.nanoseconds < right.nanoseconds
  }

  /// So much later, or ``never``. A negative duration adds nothing.
  package static func + (time: MonotonicTime, duration: Duration) -> MonotonicTime {
    let (sum, overflow) = time.nanoseconds.addingReportingOverflow(duration.wholeNanoseconds)
    return overflow ? .never : MonotonicTime(nanoseconds: sum)
  }

  /// How long it took from `earlier` to here; zero when that is not earlier.
  package static func - (time: MonotonicTime, earlier: MonotonicTime) -> Duration {
    guard time > earlier else { return .zero }
    return .nanoseconds(Int64(clamping: time.nanoseconds - earlier.nanoseconds))
  }
}

extension Duration {
  /// The whole nanoseconds; none of a negative duration, and `UInt64.max` past what that holds.
  package var wholeNanoseconds: UInt64 {
    guard self > .zero else { return 0 }
    let (seconds, attoseconds) = components
    let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, carry) = product.addingReportingOverflow(UInt64(attoseconds / 1_000_000_000))
    return overflow || carry ? .max : sum
  }

  /// The whole milliseconds; none of a negative duration.
  package var completedMilliseconds: UInt64 { wholeNanoseconds / 1_000_000 }
}
