/// The routes of one version that a filter lets through: an immutable value, of which a copy costs O(1)
/// and the next version shares what did not change.
///
/// Unlike a ``RouteTable`` it has no digest that anybody else could compare with his own. What can be
/// told of it alone is told: routes never overlap, and those of a span leave no key of it out.
package struct SelectedRoutes: Sendable {
  /// Which routes these are.
  package let filter: WatchFilter
  /// The version that they were looked at in.
  package private(set) var version: CatalogVersion

  // Start key to row as in a table; where nobody is known to hold what follows a key, to nothing. So
  // a route ends where the next entry is, as there.
  private static let byStart = 0
  /// Id, big-endian, to start key.
  private static let byID = 1
  private var holder: RouteIndex.Version
  private var trees: RouteIndex.Trees

  /// The routes of a whole catalog that `filter` lets through, out of some in key order. O(*n* log *n*).
  ///
  /// - Throws: ``RouteDeltaError`` when they overlap, or leave out keys of the filter's span. None at
  ///   all are what there is before the bootstrap.
  package init(
    _ filter: WatchFilter, version: CatalogVersion, routes: [Route]
  ) throws(RouteDeltaError) {
    self.filter = filter
    self.version = version
    trees = RouteIndex.Trees()
    holder = IndexStore().makeFirstVersion(of: trees)
    let routes = routes.filter(filter.contains)
    try edit { editor throws(RouteDeltaError) in
      for route in routes { try editor.insert(route) }
    }
    try checkSpan(at: routes.map(\.span))
    if !routes.isEmpty, case .span(let span) = filter, !isHeld(span.lower) {
      throw .leavesGap(at: span.lower)
    }
  }

  /// How many routes there are.
  package var count: Int { trees[Self.byID].count }

  /// Makes the version that `delta` leads to: all of it, or nothing when it throws. What the delta
  /// tells of routes that the filter does not let through is passed over: not every node filters.
  ///
  /// - Throws: ``RouteDeltaError`` unless the delta goes on from this version, and its routes fit.
  /// - Complexity: O(*e* log *n*) for *e* routes in the delta.
  package mutating func apply(_ delta: RouteDelta) throws(RouteDeltaError) {
    guard delta.from == version, delta.to > version else {
      throw .doesNotFollow(version, from: delta.from, to: delta.to)
    }
    let coming = delta.upserted.filter(filter.contains)
    var changed: Set<RouteID> = []
    for id in delta.removed + delta.upserted.map(\.id) {
      guard changed.insert(id).inserted else { throw .badRoute(id) }
    }
    // The first routes of all are looked at as a snapshot is.
    guard count > 0 else {
      self = try SelectedRoutes(filter, version: delta.to, routes: coming)
      return
    }
    let going = (delta.removed + delta.upserted.map(\.id)).compactMap(route(id:))
    var next = self
    try next.edit { editor throws(RouteDeltaError) in
      for route in going { editor.remove(route) }
      for route in coming { try editor.insert(route) }
    }
    try next.checkSpan(at: (going + coming).map(\.span))
    next.version = delta.to
    self = next
  }

  /// Notes that nothing changed up to `version` that the filter lets through.
  package mutating func reached(_ version: CatalogVersion) {
    self.version = max(self.version, version)
  }

  private mutating func edit(
    _ body: (inout RouteIndex.Editor) throws(RouteDeltaError) -> Void
  ) throws(RouteDeltaError) {
    var editor = RouteIndex.Editor(of: trees, holder)
    try body(&editor)
    trees = editor.trees
    holder = editor.finishVersion()
  }

  /// That no key of the filter's span is without a route around what changed: a gap begins where one
  /// of these spans begins or ends.
  private func checkSpan(at changed: [KeySpan]) throws(RouteDeltaError) {
    guard case .span(let span) = filter else { return }
    for key in changed.flatMap({ [max($0.lower, span.lower), $0.upper].compactMap(\.self) })
    where span.contains(key) && !isHeld(key) {
      throw .leavesGap(at: key)
    }
  }

  private func isHeld(_ key: Key) -> Bool {
    key.bytes.withUnsafeBytes { owner(of: $0) } != nil
  }
}

extension SelectedRoutes {
  /// Who owns the key with these bytes; nil where no route is here that holds it. O(log *n*).
  package func owner(of key: UnsafeRawBufferPointer) -> RouteOwner? {
    defer { withExtendedLifetime(holder) {} }
    return trees[Self.byStart].entry(atOrBefore: RouteIndex.Needle(key)).flatMap {
      $0.isGap ? nil : RouteRow.owner(in: $0.payload)
    }
  }

  /// The route that holds `key`; nil where it is not here. O(log *n*).
  package func route(containing key: Key) -> Route? {
    key.bytes.withUnsafeBytes(route(around:))
  }

  /// The route with this id; nil where it is not here. O(log *n*).
  package func route(id: RouteID) -> Route? {
    IndexKey.withBytes(of: id) { bytes in
      RouteIndex(version: holder, tree: trees[Self.byID]).withEntry(at: bytes) { entry in
        entry.flatMap { route(around: $0.payload) }
      }
    }
  }

  private func route(around key: UnsafeRawBufferPointer) -> Route? {
    starts.withEntries(around: key) { entry, next in
      entry.flatMap { $0.isGap ? nil : RouteTable.route($0, next) }
    }
  }

  /// Those of the routes that overlap `span`, in key order, at most `limit`.
  /// O(log *n*) and what is returned.
  package func routes(overlapping span: KeySpan, limit: Int = .max) -> [Route] {
    var routes: [Route] = []
    var cursor = RouteIndex.Cursor(starts)
    span.lower.bytes.withUnsafeBytes { bytes in
      cursor.seek(atOrBefore: bytes)
      if !cursor.isOnEntry { cursor.seek(atOrAfter: bytes) }
    }
    while routes.count < limit, let entry = cursor.entry {
      let start = Key(unchecked: entry.key)
      guard span.upper.map({ start < $0 }) ?? true else { break }
      cursor.moveToNext()
      // Both are kept alive by the index, which does not move.
      if !entry.isGap { routes.append(RouteTable.route(entry, cursor.entry)) }
    }
    return routes
  }

  /// Those of the routes that are of `group`, by their ids, at most `limit`. O(*n* log *n*).
  package func routes(of group: GroupID, limit: Int = .max) -> [Route] {
    let routes = routes(overlapping: .all).filter { $0.group == group }
    return Array(routes.sorted { $0.id < $1.id }.prefix(limit))
  }

  private var starts: RouteIndex { RouteIndex(version: holder, tree: trees[Self.byStart]) }
}

extension RouteIndex.Entry {
  /// Whether nobody is known to hold what follows the key.
  fileprivate var isGap: Bool { payload.isEmpty }
}

extension RouteIndex.Editor {
  /// Puts a route where none is.
  fileprivate mutating func insert(_ route: Route) throws(RouteDeltaError) {
    guard route.id > RouteID(0), route.allowedRegions.count <= Region.maximumCount,
      IndexKey.withBytes(of: route.id, { trees[1].entry(at: RouteIndex.Needle($0)) == nil })
    else { throw .badRoute(route.id) }
    let problem: RouteDeltaError? = route.span.lower.bytes.withUnsafeBytes { lower in
      let (before, after) = trees[0].entries(around: RouteIndex.Needle(lower))
      if let before, !before.isGap { return .overlaps(RouteID(RouteRow(before.payload).id)) }
      if let after {
        let next = Key(unchecked: after.key)
        guard let upper = route.span.upper, upper <= next else { return .overlaps(route.id) }
      }
      RouteRow.withBytes(of: route) { upsert(key: lower, payload: $0, in: 0) }
      IndexKey.withBytes(of: route.id) { _ = upsert(key: $0, payload: lower, in: 1) }
      return nil
    }
    if let problem { throw problem }
    route.span.upper?.bytes.withUnsafeBytes { upper in
      if trees[0].entry(at: RouteIndex.Needle(upper)) == nil {
        upsert(key: upper, payload: .empty, in: 0)
      }
    }
  }

  /// Takes out a route that is there.
  fileprivate mutating func remove(_ route: Route) {
    IndexKey.withBytes(of: route.id) { _ = remove(key: $0, from: 1) }
    // What is left out before and after it becomes one with it.
    route.span.upper?.bytes.withUnsafeBytes { upper in
      if let next = trees[0].entry(at: RouteIndex.Needle(upper)), next.isGap {
        remove(key: upper, from: 0)
      }
    }
    route.span.lower.bytes.withUnsafeBytes { lower in
      remove(key: lower, from: 0)
      let before = trees[0].entry(atOrBefore: RouteIndex.Needle(lower))
      if let before, !before.isGap { upsert(key: lower, payload: .empty, in: 0) }
    }
  }
}
