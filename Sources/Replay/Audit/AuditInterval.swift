import Catalog
import StateMachines
import Synchronization

/// A version as a table and the entries that lead from there to it: what single routes are looked up
/// in without the version's own table.
struct AuditView: Sendable {
  var version: CatalogVersion
  /// Nil where the node has the version itself in memory.
  var table: AuditTable?
  var source: any RouteSource
  var entries: ArraySlice<LogEntry>

  /// The routes of these ids that there are at the version. O(*e*) for *e* events in between.
  func routes(withIDs ids: Set<RouteID>) throws(AuditError) -> [Route] {
    let plan = RoutePlan(to: ids, through: entries)
    let routes = try reading { () throws(StoreError) in
      try source.routes(withIDs: plan.needed)
    }
    return try fold(plan, routes)
  }

  /// The ids of the routes of the scope at the version, and perhaps some more, given those of the
  /// table.
  func candidates(
    _ scope: RouteScope, from routes: some Sequence<RouteID>
  ) -> Set<RouteID> {
    var tracker = RouteTracker(scope, from: routes)
    for entry in entries { for event in entry.events { tracker.follow(event) } }
    return tracker.candidates
  }

  /// The routes of a scope of which `start` are the routes of the table, in no order.
  func routes(_ scope: RouteScope, from start: [Route]) throws(AuditError) -> [Route] {
    guard !entries.isEmpty else { return start.filter(scope.contains) }
    return try routes(withIDs: candidates(scope, from: start.lazy.map(\.id)))
      .filter(scope.contains)
  }

  private func fold(_ plan: RoutePlan, _ routes: [Route]) throws(AuditError) -> [Route] {
    do {
      return try plan.fold(onto: routes)
    } catch {
      // The entries were proven when they were appended: one of them, or the table, was changed.
      throw .store(.unproven(entries.first?.position ?? .zero, error))
    }
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
  /// The view of a version that was resolved.
  func view(at version: CatalogVersion) throws(AuditError) -> AuditView {
    if let live, let routes = live.table(version) {
      return AuditView(
        version: version, table: nil, source: RoutesInMemory(table: routes), entries: [])
    }
    let table = try table(atOrBefore: version)
    guard table.version < version else {
      return AuditView(version: version, table: table, source: table.source, entries: [])
    }
    let position = try position(of: version)
    return AuditView(
      version: version, table: table, source: table.source,
      entries: try entries(after: table, through: position))
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
          let decoded = try DecodedEntry(bytes, at: position)
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
