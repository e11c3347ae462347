@testable import Catalog

/// The simplest table of routes, a sorted array: what a `RouteTable` is compared to.
struct NaiveRouteTable: Sendable {
  /// The version of the entry that last changed a route.
  private(set) var version: CatalogVersion = .zero
  /// The id that the next new route gets: one more than the highest ever given, since ids are not
  /// given twice.
  private(set) var nextRouteID = RouteID(1)
  var digest: StateDigest {
    sorted.reduce(into: .zero) { sum, route in
      sum += route.record.withUnsafeBytes(StateDigest.init(ofRecord:))
    }
  }
  private(set) var sorted: [Route] = []

  /// The table before the bootstrap: no routes.
  init() {}

  /// How many routes there are.
  var count: Int { sorted.count }
  var isEmpty: Bool { sorted.isEmpty }
}

extension NaiveRouteTable {
  /// The route that holds `key`; nil only while there are no routes. O(log *n*).
  func route(containing key: Key) -> Route? {
    index(containing: key).map { sorted[$0] }
  }

  /// Who owns the key with these bytes; nil only while there are no routes. O(log *n*), allocates
  /// nothing.
  func owner(of key: UnsafeRawBufferPointer) -> RouteOwner? {
    route(containing: Key(unchecked: Array(key))).map {
      RouteOwner(route: $0.id, group: $0.group, state: $0.state)
    }
  }

  /// The route with this id, or nil. O(log *n*).
  func route(id: RouteID) -> Route? { sorted.first { $0.id == id } }

  /// The routes that overlap `span`, in key order, at most `limit`.
  func routes(overlapping span: KeySpan, limit: Int = .max) -> [Route] {
    Array(sorted.lazy.filter { $0.span.overlaps(span) }.prefix(limit))
  }

  /// The routes of `group` with ids above `id`, in the order of ids, at most `limit`.
  func routes(of group: GroupID, after id: RouteID? = nil, limit: Int = .max) -> [Route] {
    Array(
      sorted.filter { $0.group == group && $0.id > (id ?? RouteID(0)) }
        .sorted { $0.id < $1.id }.prefix(limit))
  }

  /// The routes with ids above `id`, in the order of ids, at most `limit`.
  func routes(after id: RouteID?, limit: Int = .max) -> [Route] {
    Array(
      sorted.filter { $0.id > (id ?? RouteID(0)) }.sorted { $0.id < $1.id }.prefix(limit))
  }

  private func index(containing key: Key) -> Int? {
    sorted.lastIndex { $0.span.lower <= key }
  }
}

extension NaiveRouteTable {
  /// Makes the next version in place: all of `body`'s changes, or none when it throws.
  ///
  /// Routes that change are stamped with `version` and `time`.
  mutating func edit<Failure: Error>(
    version: CatalogVersion, time: HybridTimestamp,
    _ body: (inout Editor) throws(Failure) -> Void
  ) throws(Failure) {
    var editor = Editor(table: self, version: version, time: time)
    editor.table.version = version
    try body(&editor)
    self = editor.table
  }

  /// The next version in the making.
  struct Editor {
    fileprivate var table: NaiveRouteTable
    /// What changed routes are stamped with.
    let version: CatalogVersion
    let time: HybridTimestamp

    /// The route that starts at `start` in the version in the making.
    func route(startingAt start: Key) -> Route? {
      table.sorted.first { $0.span.lower == start }
    }

    /// Fills an empty table.
    mutating func bootstrap(_ seeds: [RouteSeed]) throws(RouteTableError) {
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
    mutating func split(route: RouteID, start: Key, boundary: Key, newRoute: RouteID)
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
    mutating func merge(route: RouteID, start: Key, boundary: Key, absorbed: RouteID)
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
    mutating func move(route: RouteID, start: Key, from: GroupID, to: GroupID)
      throws(RouteTableError)
    {
      var changed = try known(route, start)
      guard changed.group == from else { throw .changedElsewhere(route) }
      remove(changed)
      changed.group = to
      add(stamped(changed))
    }

    mutating func setState(
      route: RouteID, start: Key, from: RouteState, to: RouteState
    ) throws(RouteTableError) {
      var changed = try known(route, start)
      guard changed.state == from else { throw .changedElsewhere(route) }
      remove(changed)
      changed.state = to
      add(stamped(changed))
    }

    mutating func setAllowedRegions(route: RouteID, start: Key, to regions: [Region])
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
