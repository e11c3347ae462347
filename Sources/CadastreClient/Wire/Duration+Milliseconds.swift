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
