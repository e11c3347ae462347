import Catalog
import StateMachines
import Synchronization

/// A version in which single routes are looked up without the version's own table.
///
/// A route carries the version of its last change. So one that a later table still has as it was is
/// the answer, and no entry is read for it; what changed since is made of an earlier table and the
/// entries that lead from there to the version.
struct AuditView: Sendable {
  let version: CatalogVersion
  private let reader: AuditReader
  /// The version itself, where the node has it in memory.
  private let exact: RouteTable?
  /// Tables of later versions, the one that costs least to ask first.
  private let later: [any RouteSource]

  init(
    of version: CatalogVersion, exact: RouteTable?, later: [any RouteSource], _ reader: AuditReader
  ) {
    self.version = version
    self.exact = exact
    self.later = later
    self.reader = reader
  }

  /// The routes that hold `keys`, in no order; some of them twice.
  func routes(containing keys: [Key]) throws(AuditError) -> [Route] {
    var found: [Route] = []
    var rest = keys
    for table in later where !rest.isEmpty {
      guard let routes = try? table.routes(containing: rest), routes.count == rest.count else {
        continue
      }
      let asked = zip(rest, routes)
      found += asked.lazy.map(\.1).filter(isUnchanged)
      rest = asked.filter { !isUnchanged($0.1) }.map(\.0)
    }
    guard !rest.isEmpty else { return found }
    let start = try start()
    return found
      + (try routes(
        .keys(rest),
        from: try reading { () throws(StoreError) in try start.source.routes(containing: rest) },
        start))
  }

  /// The routes of these ids that there are at the version, in no order.
  func routes(withIDs ids: Set<RouteID>) throws(AuditError) -> [Route] {
    var found: [Route] = []
    var rest = ids
    for table in later where !rest.isEmpty {
      guard let routes = try? table.routes(withIDs: rest) else { continue }
      for route in routes where isUnchanged(route) {
        found.append(route)
        rest.remove(route.id)
      }
    }
    return rest.isEmpty ? found : found + (try routes(withIDs: rest, start()))
  }

  /// The routes that overlap the span, in key order: at least the first of them, at most `limit`.
  func routes(overlapping span: KeySpan, limit: Int) throws(AuditError) -> [Route] {
    for table in later {
      guard let routes = try? table.routes(overlapping: span, limit: limit), !routes.isEmpty else {
        continue
      }
      // They tile what they cover, so that there was nothing else between them.
      if routes.allSatisfy(isUnchanged) { return routes }
    }
    let start = try start()
    let known = try reading { () throws(StoreError) in
      try start.source.routes(overlapping: span, limit: limit)
    }
    // What the table has of the routes up to here is known whole, so the answer is whole up to here.
    var whole = span
    if known.count == limit, let end = known.last?.span.upper,
      span.upper.map({ end < $0 }) ?? true
    {
      whole = KeySpan(unchecked: span.lower, end)
    }
    let routes = try routes(.span(whole), from: known, start)
    return Array(routes.sorted { $0.span.lower < $1.span.lower }.prefix(limit))
  }

  /// The ids of the routes of the group, and perhaps of some more, ascending.
  ///
  /// A later table cannot say which routes have left the group since.
  func candidates(of group: GroupID) throws(AuditError) -> [RouteID] {
    let start = try start()
    let ids = try reading { () throws(StoreError) in try start.source.routeIDs(of: group) }
    return candidates(.group(group), from: ids, try start.entries()).sorted()
  }

  /// Whether a route of a later table is as it was.
  private func isUnchanged(_ route: Route) -> Bool { route.version <= version }

  // MARK: From an earlier table

  /// A table and the entries that lead from there to the version.
  private struct Start {
    var source: any RouteSource
    var table: AuditTable?
    var position: LogPosition = .zero
    var reader: AuditReader

    /// Read when they are asked for, since the table may do without.
    func entries() throws(AuditError) -> ArraySlice<LogEntry> {
      guard let table, table.position < position else { return [] }
      return try reader.entries(after: table, through: position)
    }
  }

  private func start() throws(AuditError) -> Start {
    if let exact { return Start(source: RoutesInMemory(table: exact), reader: reader) }
    let table = try reader.table(atOrBefore: version)
    let position =
      table.version < version ? try reader.position(of: version) : table.position
    return Start(source: table.source, table: table, position: position, reader: reader)
  }

  /// O(*e*) for *e* events in between.
  private func routes(
    withIDs ids: Set<RouteID>, _ start: Start
  ) throws(AuditError) -> [Route] {
    let entries = try start.entries()
    let plan = RoutePlan(to: ids, through: entries)
    let routes = try reading { () throws(StoreError) in
      try start.source.routes(withIDs: plan.needed)
    }
    do {
      return try plan.fold(onto: routes)
    } catch {
      // The entries were proven when they were appended: one of them, or the table, was changed.
      throw .store(.unproven(entries.first?.position ?? .zero, error))
    }
  }

  /// The routes of a scope of which `known` are the routes of the table, in no order.
  private func routes(
    _ scope: RouteScope, from known: [Route], _ start: Start
  ) throws(AuditError) -> [Route] {
    let entries = try start.entries()
    guard !entries.isEmpty else { return known.filter(scope.contains) }
    return try routes(
      withIDs: candidates(scope, from: known.lazy.map(\.id), entries), start
    ).filter(scope.contains)
  }

  /// The ids of the routes of the scope at the version, and perhaps some more, given those of the
  /// table.
  private func candidates(
    _ scope: RouteScope, from routes: some Sequence<RouteID>, _ entries: ArraySlice<LogEntry>
  ) -> Set<RouteID> {
    var tracker = RouteTracker(scope, from: routes)
    for entry in entries { for event in entry.events { tracker.follow(event) } }
    return tracker.candidates
  }
}

/// The entries after a table, as far as somebody asked for them.
final class IntervalCache: Sendable {
  /// How many tables' entries are kept: a difference needs two at a time.
  static let maximumCount = 4

  struct Interval: Sendable {
    /// The hash of the state's last entry tells the tables of different histories apart.
    var table: EntryHash
    var entries: [LogEntry] = []
    /// The hash of the last of them, or of the table.
    var end: EntryHash
  }

  /// The one that was used last comes last.
  private let intervals = Mutex<[Interval]>([])

  func interval(after table: AuditTable) -> Interval {
    intervals.withLock { $0.first { $0.table == table.hash } }
      ?? Interval(table: table.hash, end: table.hash)
  }

  func keep(_ interval: Interval) {
    intervals.withLock { intervals in
      intervals.removeAll { $0.table == interval.table }
      intervals.append(interval)
      if intervals.count > Self.maximumCount { intervals.removeFirst() }
    }
  }
}

extension AuditReader {
  /// The view of a version that was resolved. O(log *n*), or the number of checkpoints when they are
  /// asked for first.
  func view(at version: CatalogVersion) throws(AuditError) -> AuditView {
    if let table = live?.table(version) {
      return AuditView(of: version, exact: table, later: [], self)
    }
    var later: [any RouteSource] = []
    if let current = live?.current(), current.version >= version {
      later.append(RoutesInMemory(table: current.routes))
    }
    if let checkpoint = try laterCheckpoint(than: version) { later.append(checkpoint) }
    return AuditView(of: version, exact: nil, later: later, self)
  }

  /// The entries after a table up to a position, proven to be one chain that begins at the table and
  /// that the entry behind it, or the note of what was written last, goes on with.
  func entries(
    after table: AuditTable, through position: LogPosition
  ) throws(AuditError) -> ArraySlice<LogEntry> {
    var interval = caches.intervals.interval(after: table)
    let count = Int(clamping: position.rawValue - table.position.rawValue)
    if interval.entries.count < count {
      try extend(&interval, from: table.position, through: position)
    }
    caches.intervals.keep(interval)
    return interval.entries[..<count]
  }

  private func extend(
    _ interval: inout IntervalCache.Interval, from start: LogPosition,
    through position: LogPosition
  ) throws(AuditError) {
    while true {
      let done = LogPosition(start.rawValue + UInt64(interval.entries.count))
      guard done < position else { break }
      try checkCancelled(after: done)
      // Slices, so that no read transaction is open for long.
      let count = Int(clamping: min(1024, position.rawValue - done.rawValue))
      var (entries, end) = ([LogEntry](), interval.end)
      try reading { () throws(StoreError) in
        try log.scan(from: done.next, maxCount: count, maxBytes: 4 << 20) {
          (position, bytes) throws(StoreError) in
          let decoded = try DecodedEntry(bytes, at: position, reading: log.reading)
          guard decoded.entry.previous == end else {
            throw .damaged(position, .brokenChain)
          }
          end = decoded.hash
          entries.append(decoded.entry)
        }
        guard !entries.isEmpty else { throw .gap(expected: done.next, found: position.next) }
      }
      interval.entries += entries
      interval.end = end
    }
    let end = interval.end
    try reading { () throws(StoreError) in
      try log.environment.read { transaction throws(StoreError) in
        let next = try transaction.value(of: position.rawValue + 1, in: log.tables.entries) {
          (bytes) throws(StoreError) in try EventLog.header(bytes, at: position.next).previous
        }
        guard let next else {
          let head = try log.head(in: transaction)
          guard head?.position != position || head?.hash == end else {
            throw .damaged(position, .brokenChain)
          }
          return
        }
        guard next == end else { throw .damaged(position, .brokenChain) }
      }
    }
  }
}
