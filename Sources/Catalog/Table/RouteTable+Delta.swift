extension RouteTable {
  /// Makes the version that `delta` leads to: all of it, or nothing when it throws.
  ///
  /// The routes keep the stamps that they come with. That the result is what somebody else has is
  /// shown by ``digest``, not by this: a delta that leaves out a change may fit as well.
  ///
  /// - Throws: ``RouteDeltaError`` unless the delta goes on from this version and leaves routes that
  ///   tile the keyspace.
  /// - Complexity: O(*e* log *n*) for *e* routes in the delta.
  package mutating func apply(_ delta: RouteDelta) throws(RouteDeltaError) {
    guard delta.from == version, delta.to > version else {
      throw .doesNotFollow(version, from: delta.from, to: delta.to)
    }
    let last = delta.upserted.map(\.id).max()?.rawValue ?? 0
    guard last < .max else { throw .badRoute(RouteID(last)) }
    if isEmpty {
      // A million routes are built faster than they are inserted.
      guard delta.removed.isEmpty else { throw .noSuchRoute(delta.removed[0]) }
      do {
        self = try RouteTable(
          version: delta.to, nextRouteID: RouteID(last + 1), routes: delta.upserted)
      } catch {
        throw .doesNotTile(error)
      }
      return
    }
    let old = self
    try edit(version: delta.to, time: .zero) { editor throws(RouteDeltaError) in
      try editor.apply(delta, to: old)
    }
    nextRouteID = max(nextRouteID, RouteID(last + 1))
  }
}

/// Why a ``RouteDelta`` does not fit a table.
package enum RouteDeltaError: Error, Equatable, Sendable {
  /// The table is at another version than the delta goes on from, or the delta goes nowhere.
  case doesNotFollow(CatalogVersion, from: CatalogVersion, to: CatalogVersion)
  /// A route that is to go is not there.
  case noSuchRoute(RouteID)
  /// A route that comes twice or out of order, whose id is none, or that names too many regions.
  case badRoute(RouteID)
  /// Another route takes keys of this one, of which nothing is said.
  case overlaps(RouteID)
  /// A route that does not end where the next one starts.
  case doesNotEndAtNext(RouteID)
  /// Nothing is said of who holds this key now.
  case leavesGap(at: Key)
  /// The first routes of all do not tile the keyspace.
  case doesNotTile(RouteTableError)
}

extension RouteTable.Editor {
  fileprivate mutating func apply(
    _ delta: RouteDelta, to old: RouteTable
  ) throws(RouteDeltaError) {
    // Where routes started that start there no longer.
    var abandoned: [Key] = []
    var changed: Set<RouteID> = []
    for id in delta.removed {
      guard let route = old.route(id: id) else { throw .noSuchRoute(id) }
      guard changed.insert(id).inserted else { throw .badRoute(id) }
      digest -= route.digest
      removeStart(of: route)
      removeGroup(of: route)
      IndexKey.withBytes(of: id) { remove($0, from: RouteTable.TreeIndex.byID) }
      abandoned.append(route.span.lower)
    }
    var last: Key?
    for route in delta.upserted {
      defer { last = route.span.lower }
      guard last.map({ $0 < route.span.lower }) ?? true else { throw .badRoute(route.id) }
      guard route.id > RouteID(0), changed.insert(route.id).inserted,
        route.allowedRegions.count <= Region.maximumCount
      else { throw .badRoute(route.id) }
      guard let before = old.route(id: route.id) else { continue }
      digest -= before.digest
      if before.group != route.group { removeGroup(of: before) }
      if before.span.lower != route.span.lower {
        removeStart(of: before)
        abandoned.append(before.span.lower)
      }
    }
    for route in delta.upserted {
      if let loser = old.route(containing: route.span.lower), !changed.contains(loser.id) {
        throw .overlaps(loser.id)
      }
    }
    for route in delta.upserted { insert(route) }
    for route in delta.upserted {
      guard endsAtNext(route) else { throw .doesNotEndAtNext(route.id) }
    }
    // Whoever got the keys of a route that is gone has changed too, and so is among those above.
    changed.subtract(delta.removed)
    for start in abandoned {
      guard let holder = holder(of: start), changed.contains(holder) else {
        throw .leavesGap(at: start)
      }
    }
  }

  private mutating func insert(_ route: Route) {
    digest += route.digest
    route.span.lower.bytes.withUnsafeBytes { lower in
      RouteRow.withBytes(of: route) { upsert($0, at: lower, in: RouteTable.TreeIndex.byStart) }
      IndexKey.withBytes(of: route.id) {
        upsert(lower, at: $0, in: RouteTable.TreeIndex.byID)
      }
    }
    IndexKey.withBytes(of: route.group, route.id) {
      upsert(.empty, at: $0, in: RouteTable.TreeIndex.byGroup)
    }
  }

  private mutating func removeStart(of route: Route) {
    route.span.lower.bytes.withUnsafeBytes {
      remove($0, from: RouteTable.TreeIndex.byStart)
    }
  }

  private mutating func removeGroup(of route: Route) {
    IndexKey.withBytes(of: route.group, route.id) {
      remove($0, from: RouteTable.TreeIndex.byGroup)
    }
  }

  /// The route that holds a key.
  private borrowing func holder(of key: Key) -> RouteID? {
    key.bytes.withUnsafeBytes { bytes in
      entries(around: bytes).0.map { RouteID(RouteRow($0.payload).id) }
    }
  }

  private borrowing func endsAtNext(_ route: Route) -> Bool {
    route.span.lower.bytes.withUnsafeBytes { bytes in
      let (_, next) = entries(around: bytes)
      guard let next, let upper = route.span.upper else {
        return next == nil && route.span.upper == nil
      }
      return upper.bytes.withUnsafeBytes { next.hasKey($0) }
    }
  }
}

extension Route {
  /// The digest of the route's record.
  fileprivate var digest: StateDigest { record.withUnsafeBytes(StateDigest.init(ofRecord:)) }
}
