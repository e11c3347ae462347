import Catalog
import StateMachines

extension AuditReader {
  /// How many entries lie between two versions at most for their events alone to be asked what
  /// changed.
  private static let scannedEntryCount: UInt64 = 4096

  /// What is different in `to`, compared with `from`, which may be the later one.
  ///
  /// - Complexity: O(*d*) for *d* routes that differ between the checkpoints next to the versions, and
  ///   the entries since those; without checkpoints, the entries between the versions.
  package func diff(from: AuditPoint, to: AuditPoint) throws(AuditError) -> AuditDiff {
    let (low, high) = from.version <= to.version ? (from, to) : (to, from)
    var ids: Set<RouteID> = []
    if low.version < high.version {
      ids = try routesThatMayDiffer(low, high)
    }
    return AuditDiff(
      from: try view(at: from.version), to: try view(at: to.version), ids: ids.sorted())
  }

  private func routesThatMayDiffer(
    _ low: AuditPoint, _ high: AuditPoint
  ) throws(AuditError) -> Set<RouteID> {
    // Versions older than the log have no entries between them.
    let first = try reading { () throws(StoreError) in try log.firstPosition() }
    let isWhole = low.position.rawValue + 1 >= first.rawValue
    if !isWhole || high.position.rawValue - low.position.rawValue > Self.scannedEntryCount,
      let ids = try routesThatMayDiffer(betweenCheckpoints: low, high)
    {
      return ids
    }
    var ids: Set<RouteID> = []
    var next = low.position.next
    while next <= high.position {
      try checkCancelled(after: LogPosition(next.rawValue - 1))
      let count = Int(clamping: min(1024, high.position.rawValue - next.rawValue + 1))
      try reading { () throws(StoreError) in
        let start = next
        try log.scan(from: start, maxCount: count, maxBytes: 4 << 20) {
          (position, bytes) throws(StoreError) in
          ids.formUnion(
            touchedBy: try DecodedEntry(bytes, at: position, reading: log.reading).entry)
          next = position.next
        }
        guard next > start else { throw .gap(expected: start, found: start.next) }
      }
    }
    return ids
  }

  /// What may differ, by the checkpoints before the versions and the entries since; nil unless there
  /// are two.
  private func routesThatMayDiffer(
    betweenCheckpoints low: AuditPoint, _ high: AuditPoint
  ) throws(AuditError) -> Set<RouteID>? {
    guard let lowTable = try checkpoint(atOrBefore: low.version),
      let highTable = try checkpoint(atOrBefore: high.version),
      var ids = changedRoutes(from: lowTable, to: highTable)
    else { return nil }
    for (table, point) in [(lowTable, low), (highTable, high)] where point.version > table.version {
      for entry in try entries(after: table, through: point.position) {
        ids.formUnion(touchedBy: entry)
      }
    }
    return ids
  }
}

extension Set<RouteID> {
  /// Adds the routes that an entry names.
  mutating func formUnion(touchedBy entry: LogEntry) {
    for event in entry.events { event.forEachRoute { insert($0) } }
  }
}

/// The routes that differ between two versions, by id, page by page, with their sums.
package struct AuditDiff: Sendable {
  /// How many routes are looked up together, where nobody says: so many that they share nodes.
  package static let pageCount = 16_384

  /// The sums of the pages so far.
  package private(set) var summary = DiffSummary()
  private let from: AuditView
  private let to: AuditView
  private var rest: ArraySlice<RouteID>

  init(from: AuditView, to: AuditView, ids: [RouteID]) {
    (self.from, self.to) = (from, to)
    rest = ids[...]
  }

  /// The next routes that differ, at most `limit`; nil after the last. A page may be empty.
  package mutating func next(limit: Int = AuditDiff.pageCount) throws(AuditError) -> [ChangedRoute]?
  {
    guard !rest.isEmpty else { return nil }
    let page = rest.prefix(max(1, limit))
    rest = rest.dropFirst(page.count)
    let ids = Set(page)
    let before = Dictionary(
      try from.routes(withIDs: ids).lazy.map { ($0.id, $0) },
      uniquingKeysWith: { first, _ in first })
    let after = Dictionary(
      try to.routes(withIDs: ids).lazy.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    let changes = page.compactMap { id in
      before[id] == after[id]
        ? nil : ChangedRoute(id: id, before: before[id], after: after[id])
    }
    for change in changes { summary.add(change) }
    return changes
  }
}
