/// The recent versions of the catalog, held in memory, one table each; they share all that did not
/// change between them.
///
/// Versions follow one another without a gap. A copy is O(*capacity*) at the next write, so the
/// writer keeps one and hands out single tables.
package struct CatalogHistory: Sendable {
  /// How many versions are kept where nobody says otherwise.
  package static let defaultCapacity = 1024

  /// A version and the events that made it of the one before; none when that had no routes.
  package struct Version: Sendable {
    package var table: RouteTable
    package var events: [Event]

    package init(table: RouteTable, events: [Event]) {
      self.table = table
      self.events = events
    }
  }

  /// The most versions that are kept, at least 1.
  package let capacity: Int
  // A ring: the version after the newest goes to `start` once the ring is full.
  private var ring: [Version] = []
  private var start = 0

  /// Begins with a version whose events are not known: the empty catalog, or a state that was
  /// taken over from elsewhere.
  package init(from table: RouteTable, capacity: Int = defaultCapacity) {
    self.capacity = max(1, capacity)
    ring = [Version(table: table, events: [])]
  }

  package var count: Int { ring.count }
  package var oldest: CatalogVersion { ring[start].table.version }
  package var newest: CatalogVersion { self[count - 1].table.version }

  /// Adds the version after ``newest`` and forgets the oldest when there are more than
  /// ``capacity``. O(1).
  ///
  /// - Returns: The version that it forgot: what it alone held is freed when the caller drops it.
  /// - Precondition: `table` is one version on from the newest.
  @discardableResult
  package mutating func append(_ table: RouteTable, events: [Event]) -> Version? {
    precondition(table.version == newest.next, "versions follow one another")
    // After an empty table everything is new, whatever the events. A million seeds take much room.
    let version = Version(table: table, events: self[count - 1].table.isEmpty ? [] : events)
    if ring.count < capacity {
      ring.append(version)
      return nil
    }
    let oldest = ring[start]
    ring[start] = version
    start = (start + 1) % capacity
    return oldest
  }

  /// The table of a version; nil when it is not retained, or not made yet. O(1).
  package func table(at version: CatalogVersion) -> RouteTable? {
    offset(of: version).map { self[$0].table }
  }

  /// A version with the events that made it; nil when it is not retained, or not made yet. O(1).
  package func version(_ version: CatalogVersion) -> Version? {
    offset(of: version).map { self[$0] }
  }

  private subscript(offset: Int) -> Version { ring[(start + offset) % ring.count] }

  private func offset(of version: CatalogVersion) -> Int? {
    guard version >= oldest, version <= newest else { return nil }
    return Int(version.rawValue - oldest.rawValue)
  }
}
