/// One immutable version of the catalog's routes: by start key, by group and by id, with their
/// count and digest.
///
/// A copy costs O(1); ``edit(version:time:_:)`` makes the next version, which shares with this one
/// all that did not change. The routes tile the keyspace, or there are none yet.
package struct RouteTable: Sendable {
  /// The version of the entry that last changed a route.
  package private(set) var version: CatalogVersion = .zero
  /// The id that the next new route gets: one more than the highest ever given, since ids are not
  /// given twice.
  package private(set) var nextRouteID = RouteID(1)
  /// The sum of the records of the routes; see ``StateDigest``.
  package private(set) var digest: StateDigest = .zero
  private var sorted: [Route] = []

  /// The table before the bootstrap: no routes.
  package init() {}

  /// A table of these routes, which come in key order.
  ///
  /// - Throws: ``RouteTableError`` unless they tile the keyspace, with ids below `nextRouteID`.
  package init(version: CatalogVersion, nextRouteID: RouteID, routes: some Sequence<Route>)
    throws(RouteTableError)
  {
    self.version = version
    self.nextRouteID = nextRouteID
    sorted = Array(routes)
    for index in sorted.indices {
      let expected = index == 0 ? Key.least : sorted[index - 1].span.upper
      guard sorted[index].span.lower == expected, sorted[index].id < nextRouteID else {
        throw .badSeed(index: index)
      }
    }
    if let last = sorted.last, last.span.upper != nil { throw .badSeed(index: sorted.count) }
  }

  /// How many routes there are.
  package var count: Int { sorted.count }
  package var isEmpty: Bool { sorted.isEmpty }
}

/// What a router asks for: who owns a key.
package struct RouteOwner: Hashable, Sendable {
  package var route: RouteID
  package var group: GroupID
  package var state: RouteState

  package init(route: RouteID, group: GroupID, state: RouteState) {
    self.route = route
    self.group = group
    self.state = state
  }
}

extension RouteTable {
  /// The route that holds `key`; nil only while there are no routes. O(log *n*).
  package func route(containing key: Key) -> Route? {
    index(containing: key).map { sorted[$0] }
  }

  /// Who owns the key with these bytes; nil only while there are no routes. O(log *n*), allocates
  /// nothing.
  package func owner(of key: UnsafeRawBufferPointer) -> RouteOwner? {
    route(containing: Key(unchecked: Array(key))).map {
      RouteOwner(route: $0.id, group: $0.group, state: $0.state)
    }
  }

  /// The route with this id, or nil. O(log *n*).
  package func route(id: RouteID) -> Route? { sorted.first { $0.id == id } }

  /// The routes that overlap `span`, in key order, at most `limit`.
  package func routes(overlapping span: KeySpan, limit: Int = .max) -> [Route] {
    Array(sorted.lazy.filter { $0.span.overlaps(span) }.prefix(limit))
  }

  /// The routes of `group` with ids above `id`, in the order of ids, at most `limit`.
  package func routes(of group: GroupID, after id: RouteID? = nil, limit: Int = .max) -> [Route] {
    Array(
      sorted.filter { $0.group == group && $0.id > (id ?? RouteID(0)) }
        .sorted { $0.id < $1.id }.prefix(limit))
  }

  /// The routes with ids above `id`, in the order of ids, at most `limit`.
  package func routes(after id: RouteID?, limit: Int = .max) -> [Route] {
    Array(
      sorted.filter { $0.id > (id ?? RouteID(0)) }.sorted { $0.id < $1.id }.prefix(limit))
  }

  private func index(containing key: Key) -> Int? {
    sorted.lastIndex { $0.span.lower <= key }
  }
}

extension RouteTable {
  /// Makes the next version in place: all of `body`'s changes, or none when it throws.
  ///
  /// Routes that change are stamped with `version` and `time`.
  package mutating func edit<Failure: Error>(
    version: CatalogVersion, time: HybridTimestamp,
    _ body: (inout Editor) throws(Failure) -> Void
  ) throws(Failure) {
    var editor = Editor(table: self, version: version, time: time)
    editor.table.version = version
    try body(&editor)
    self = editor.table
  }

  /// The next version in the making.
  package struct Editor {
    fileprivate var table: RouteTable
    /// What changed routes are stamped with.
    package let version: CatalogVersion
    package let time: HybridTimestamp

    /// The route that starts at `start` in the version in the making.
    package func route(startingAt start: Key) -> Route? {
      table.sorted.first { $0.span.lower == start }
    }

    /// Fills an empty table.
    package mutating func bootstrap(_ seeds: [RouteSeed]) throws(RouteTableError) {
      guard table.isEmpty, table.nextRouteID == RouteID(1) else { throw .notEmpty }
      guard let first = seeds.first, first.start == .least else { throw .badSeed(index: 0) }
      var ids: Set<RouteID> = []
      for index in seeds.indices {
        let seed = seeds[index]
        let upper = index + 1 < seeds.count ? seeds[index + 1].start : nil
        if let upper, upper <= seed.start { throw .badSeed(index: index + 1) }
        guard seed.id > RouteID(0), seed.id.rawValue < .max, ids.insert(seed.id).inserted else {
          throw .badSeed(index: index)
        }
        add(
          Route(
            id: seed.id, span: KeySpan(unchecked: seed.start, upper), group: seed.group,
            allowedRegions: seed.allowedRegions, version: version, changedAt: time))
      }
    }

    /// Cuts the route at `boundary`; the part from there up becomes `newRoute`, alike but for its
    /// id and parent.
    package mutating func split(route: RouteID, start: Key, boundary: Key, newRoute: RouteID)
      throws(RouteTableError)
    {
      var left = try known(route, start)
      guard left.span.contains(boundary), boundary != start else {
        throw .boundaryOutside(boundary, left.id)
      }
      guard newRoute >= table.nextRouteID, newRoute.rawValue < .max else {
        throw .routeIDUsed(newRoute)
      }
      var right = left
      remove(left)
      right.id = newRoute
      right.parent = route
      right.span = KeySpan(unchecked: boundary, left.span.upper)
      left.span = KeySpan(unchecked: start, boundary)
      add(stamped(left))
      add(stamped(right))
    }

    /// Gives the whole of `absorbed`, which starts at `boundary`, to its left neighbour.
    package mutating func merge(route: RouteID, start: Key, boundary: Key, absorbed: RouteID)
      throws(RouteTableError)
    {
      var left = try known(route, start)
      let right = try known(absorbed, boundary)
      guard left.span.upper == boundary else { throw .notNeighbours(route, absorbed) }
      remove(left)
      remove(right)
      left.span = KeySpan(unchecked: start, right.span.upper)
      add(stamped(left))
    }

    /// Moves the route from one group to another.
    package mutating func move(route: RouteID, start: Key, from: GroupID, to: GroupID)
      throws(RouteTableError)
    {
      var changed = try known(route, start)
      guard changed.group == from else { throw .changedElsewhere(route) }
      remove(changed)
      changed.group = to
      add(stamped(changed))
    }

    package mutating func setState(
      route: RouteID, start: Key, from: RouteState, to: RouteState
    ) throws(RouteTableError) {
      var changed = try known(route, start)
      guard changed.state == from else { throw .changedElsewhere(route) }
      remove(changed)
      changed.state = to
      add(stamped(changed))
    }

    package mutating func setAllowedRegions(route: RouteID, start: Key, to regions: [Region])
      throws(RouteTableError)
    {
      var changed = try known(route, start)
      remove(changed)
      changed.allowedRegions = regions
      add(stamped(changed))
    }

    private func known(_ id: RouteID, _ start: Key) throws(RouteTableError) -> Route {
      guard let route = route(startingAt: start) else { throw .noRouteStarts(at: start) }
      guard route.id == id else { throw .otherRouteStarts(at: start, found: route.id, named: id) }
      return route
    }

    private func stamped(_ route: Route) -> Route {
      var route = route
      route.version = version
      route.changedAt = time
      return route
    }

    private mutating func add(_ route: Route) {
      let index = table.sorted.firstIndex { route.span.lower < $0.span.lower }
      table.sorted.insert(route, at: index ?? table.sorted.count)
      table.nextRouteID = max(table.nextRouteID, route.id.next)
    }

    private mutating func remove(_ route: Route) {
      table.sorted.removeAll { $0.id == route.id }
    }
  }
}

/// Why an event does not fit the table that it is folded into: the log and the table disagree.
package enum RouteTableError: Error, Equatable, Sendable {
  /// A bootstrap of a table that has, or had, routes.
  case notEmpty
  /// The seed at this index does not start after the one before it (the first: at the least key),
  /// or its id is 0, the greatest, or given twice.
  case badSeed(index: Int)
  case noRouteStarts(at: Key)
  case otherRouteStarts(at: Key, found: RouteID, named: RouteID)
  /// A split key that is not inside the route.
  case boundaryOutside(Key, RouteID)
  /// An id that was given before.
  case routeIDUsed(RouteID)
  case notNeighbours(RouteID, RouteID)
  /// The route is not in the group or state that the event says it came from.
  case changedElsewhere(RouteID)
}
