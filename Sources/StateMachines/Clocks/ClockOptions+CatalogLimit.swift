import Catalog

/// A leader of a region's stream that is cut off from the catalog does not hear that its region was
/// lost. With a limit it stops all the same: it begins no lease that could outlast the limit, counted
/// from when it last knew the newest catalog. Whoever sees the loss later than it could have stays
/// silent for the limit, and an allowance for drift, and knows then that the other has stopped.
extension ClockOptions {
  /// Whether a lease may begin, or anything be decided, at a node that last knew the newest catalog
  /// then; nil: it never did.
  package func allowsLease(at now: MonotonicTime, catalogKnown time: MonotonicTime?) -> Bool {
    guard let catalogLimit else { return true }
    guard let time else { return false }
    return now - time + window <= catalogLimit
  }

  /// How long after it heard of a region's loss a node waits for a leader with this limit.
  package func wait(for limit: Milliseconds) -> Duration {
    let windows = limit.duration / window
    return limit.duration + driftAllowance * Int64(windows.rounded(.up))
  }
}
