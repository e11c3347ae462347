import Catalog

/// How old a table may be: since when it is known to have had everything.
///
/// A node was asked what version it has. It had that one when it was asked at the earliest, and knew by
/// its own word some time before that it had everything. A table that has this version had everything
/// then. No two machines' clocks are compared, however long a message was under way.
package struct TableFreshness: Sendable {
  private var unmet: [(version: CatalogVersion, since: Duration)] = []
  /// When the table last was known to have everything; nil when it never was.
  package private(set) var upToDateAt: Duration?

  package init() {}

  /// How long ago that was.
  package func staleness(at now: Duration) -> Duration? { upToDateAt.map { max(.zero, now - $0) } }

  /// Takes the answer to a question that was asked at `asked`. A node that does not know how fresh it
  /// is tells nothing.
  package mutating func heard(
    _ stamp: ReadStamp, asked: Duration, has version: CatalogVersion
  ) {
    guard let staleness = stamp.staleness else { return }
    unmet.append((stamp.version, asked - staleness))
    if unmet.count > 64 { unmet.removeFirst() }
    reached(version)
  }

  /// Notes that the table is at `version`.
  package mutating func reached(_ version: CatalogVersion) {
    for answer in unmet where answer.version <= version {
      upToDateAt = max(upToDateAt ?? answer.since, answer.since)
    }
    unmet.removeAll { $0.version <= version }
  }
}
