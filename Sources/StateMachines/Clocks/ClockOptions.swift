import Catalog

/// How the clocks of a node's groups work.
package struct ClockOptions: Hashable, Sendable {
  /// How far ahead of the wall clock a renewal raises ceilings, and how long a leader may issue after
  /// it began one: the lease.
  package var window: Duration = .seconds(3)
  /// How long after a renewal was begun the next one is.
  package var renewEvery: Duration = .seconds(1)
  /// By how much two monotonic clocks may differ over one window. A leader stops so much earlier, and
  /// its successor starts so much later.
  package var driftAllowance: Duration = .milliseconds(100)
  /// How far ahead of the wall clock a timestamp from elsewhere may be, and how far the wall clock may
  /// jump ahead of the monotonic one.
  package var maximumSkew = HybridClock.defaultMaximumSkew
  /// A leader stops once it did not know the newest catalog for so long; nil: it goes on until it hears
  /// that its region was lost.
  package var catalogLimit: Duration?

  package init() {}

  /// What of the options cannot be; nil when they can.
  package var problem: String? {
    guard renewEvery > .zero, driftAllowance >= .zero, maximumSkew >= .zero else {
      return "durations have to be positive"
    }
    guard window > renewEvery + driftAllowance else {
      return "the window (\(window)) has to be longer than the time from one renewal to the next "
        + "(\(renewEvery)) and the allowance for drift (\(driftAllowance)) together"
    }
    guard window <= Milliseconds.maximum.duration else {
      return "the window (\(window)) may be no longer than a day"
    }
    if let catalogLimit {
      guard catalogLimit >= window * 2 else {
        return "the time without the catalog (\(catalogLimit)) has to be at least twice the window "
          + "(\(window)): a lease runs for that long"
      }
      guard catalogLimit <= Milliseconds.maximum.duration else {
        return "the time without the catalog (\(catalogLimit)) may be no longer than a day"
      }
    }
    return nil
  }

  /// The window as it is on record.
  package var lease: Milliseconds { Milliseconds(atLeast: window) }
}
