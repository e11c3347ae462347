import Catalog

/// How much of a shared stream is kept for members that have yet to store it.
///
/// Who leads asks it now and then, with what the members said of themselves. One that says nothing any
/// more is no longer waited for: it takes what it lacks from another member.
package struct WindowPolicy: Hashable, Sendable {
  /// Entries that are kept though every member has stored them, for one that was away for a moment.
  package var margin: UInt64 = 10_000
  /// Entries that a member may have yet to store before nothing is decided any more.
  package var limit: UInt64 = 1_000_000

  package init() {}

  /// What is to be done about the window.
  package struct Decision: Hashable, Sendable {
    /// The position through which entries are to go; nil when none are.
    package var trimThrough: LogPosition?
    /// Who holds the window back, furthest behind first, once that is more than half of the limit.
    package var heldBackBy: [MemberName] = []
    /// How many entries the slowest has yet to store.
    package var lag: UInt64 = 0
    /// Whether nothing is to be decided until they have come further.
    package var isFull = false

    package init() {}
  }

  /// Decides about a window that begins after `trimmed`, of a stream that ends at `last`.
  ///
  /// Nothing goes that a member who is waited for has not stored; nothing at all while nobody says
  /// what he has.
  package func decide(
    _ progress: [MemberProgress], trimmed: LogPosition, last: LogPosition
  ) -> Decision {
    var decision = Decision()
    guard let slowest = progress.map(\.storedThrough).min() else { return decision }
    if slowest.rawValue > margin {
      let through = LogPosition(min(slowest.rawValue, last.rawValue) - min(margin, last.rawValue))
      if through > trimmed { decision.trimThrough = through }
    }
    func lag(_ member: MemberProgress) -> UInt64 {
      last.rawValue - min(last.rawValue, member.storedThrough.rawValue)
    }
    decision.lag = last.rawValue - min(last.rawValue, slowest.rawValue)
    decision.isFull = decision.lag > limit
    decision.heldBackBy =
      progress.filter { lag($0) > limit / 2 }
      .sorted { ($0.storedThrough, $0.member.name) < ($1.storedThrough, $1.member.name) }
      .map(\.member.name)
    return decision
  }
}
