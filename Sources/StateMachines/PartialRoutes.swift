import Catalog

/// Some routes of a version, by id: events are folded into them as into a whole table, with the same
/// checks, as far as those can be made without the other routes.
package struct PartialRoutes: Sendable {
  package private(set) var routes: [RouteID: Route]

  package init(_ routes: some Sequence<Route> = EmptyCollection<Route>()) {
    self.routes = Dictionary(routes.lazy.map { ($0.id, $0) }) { _, last in last }
  }

  package subscript(id: RouteID) -> Route? { routes[id] }

  /// What an event of the entry that made `version` at `time` does to the routes, all of which that
  /// it changes are here. See `RouteTable.Editor`.
  ///
  /// - Throws: ``RouteTableError`` when a route is missing, or is not as the event says; nothing
  ///   changes.
  /// - Complexity: O(1), or O(*n*) for a bootstrap of *n* routes.
  package mutating func apply(
    _ event: Event, version: CatalogVersion, time: HybridTimestamp
  ) throws(RouteTableError) {
    switch event {
    case .routesBootstrapped(let seeds):
      try bootstrap(seeds, version: version, time: time)
    case .routeSplit(let id, let start, let boundary, let newRoute):
      var left = try known(id, start)
      guard start < boundary, left.span.upper.map({ boundary < $0 }) ?? true else {
        throw .boundaryOutside(boundary, id)
      }
      guard newRoute > id, newRoute.rawValue < .max, routes[newRoute] == nil else {
        throw .routeIDUsed(newRoute)
      }
      (left.version, left.changedAt) = (version, time)
      var right = left
      left.span = KeySpan(unchecked: start, boundary)
      right.span = KeySpan(unchecked: boundary, right.span.upper)
      (right.id, right.parent) = (newRoute, id)
      (routes[id], routes[newRoute]) = (left, right)
    case .routesMerged(let id, let start, let boundary, let absorbed):
      var left = try known(id, start)
      let right = try known(absorbed, boundary)
      guard left.span.upper == boundary else { throw .notNeighbours(id, absorbed) }
      left.span = KeySpan(unchecked: start, right.span.upper)
      (left.version, left.changedAt) = (version, time)
      (routes[id], routes[absorbed]) = (left, nil)
    case .routeMoved(let id, let start, let from, let to):
      var route = try known(id, start)
      guard route.group == from else { throw .changedElsewhere(id) }
      (route.group, route.version, route.changedAt) = (to, version, time)
      routes[id] = route
    case .routeStateChanged(let id, let start, let from, let to):
      var route = try known(id, start)
      guard route.state == from else { throw .changedElsewhere(id) }
      (route.state, route.version, route.changedAt) = (to, version, time)
      routes[id] = route
    case .allowedRegionsChanged(let id, let start, let regions):
      var route = try known(id, start)
      guard regions.count <= Region.maximumCount else {
        throw .tooManyRegions(id, count: regions.count)
      }
      (route.allowedRegions, route.version, route.changedAt) = (regions, version, time)
      routes[id] = route
    case .catalogCommitted, .logTrimmed, .region, .membership:
      break
    }
  }

  private func known(_ id: RouteID, _ start: Key) throws(RouteTableError) -> Route {
    guard let route = routes[id], route.span.lower == start else {
      throw .noRouteStarts(at: start)
    }
    return route
  }

  private mutating func bootstrap(
    _ seeds: [RouteSeed], version: CatalogVersion, time: HybridTimestamp
  ) throws(RouteTableError) {
    guard routes.isEmpty else { throw .notEmpty }
    guard let first = seeds.first, first.start == .least else { throw .badSeed(index: 0) }
    var made: [RouteID: Route] = [:]
    made.reserveCapacity(seeds.count)
    for index in seeds.indices {
      let seed = seeds[index]
      let upper = index + 1 < seeds.count ? seeds[index + 1].start : nil
      if let upper, upper <= seed.start { throw .badSeed(index: index + 1) }
      guard seed.id > RouteID(0), seed.id.rawValue < .max else { throw .badSeed(index: index) }
      guard seed.allowedRegions.count <= Region.maximumCount else {
        throw .tooManyRegions(seed.id, count: seed.allowedRegions.count)
      }
      let route = Route(
        id: seed.id, span: KeySpan(unchecked: seed.start, upper), group: seed.group,
        allowedRegions: seed.allowedRegions, version: version, changedAt: time)
      guard made.updateValue(route, forKey: seed.id) == nil else { throw .badSeed(index: index) }
    }
    routes = made
  }
}

/// A route before an entry and after it; nil where there was none, or is none any more.
package struct ChangedRoute: Hashable, Sendable {
  package var id: RouteID
  package var before: Route?
  package var after: Route?

  package init(id: RouteID, before: Route?, after: Route?) {
    (self.id, self.before, self.after) = (id, before, after)
  }
}

extension PartialRoutes {
  /// Folds an entry of whose events all routes are here.
  ///
  /// - Returns: What it changed, by id. A route that came and went within the entry is left out.
  /// - Throws: ``EvolveError/doesNotApply(_:event:_:)``; the routes are those after the events before.
  /// - Complexity: O(*e* log *e*) for *e* events.
  package mutating func apply(_ entry: LogEntry) throws(EvolveError) -> [ChangedRoute] {
    var before: [RouteID: Route?] = [:]
    for (index, event) in entry.events.enumerated() {
      event.forEachRoute { if before[$0] == nil { before[$0] = .some(routes[$0]) } }
      do {
        try apply(event, version: entry.version, time: entry.time)
      } catch {
        throw .doesNotApply(entry.position, event: index, error)
      }
    }
    var changes: [ChangedRoute] = []
    changes.reserveCapacity(before.count)
    for (id, route) in before where route != routes[id] {
      changes.append(ChangedRoute(id: id, before: route, after: routes[id]))
    }
    changes.sort { $0.id < $1.id }
    return changes
  }
}
