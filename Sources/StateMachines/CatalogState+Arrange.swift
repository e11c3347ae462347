import Catalog

extension CatalogState {
  /// The events that make the routes start at the keys of `layout`, and belong to its groups: no
  /// route is cut where it may stay whole, and none is changed that already is as asked. One walk
  /// over both, in key order.
  ///
  /// A route that starts at a key of the layout keeps its id; one that does not is taken in by the
  /// route before it. Where a route is cut and both parts go to one group, it goes there first.
  /// Allowed regions stay; of `layout` they count only where a catalog has no routes yet.
  ///
  /// - Complexity: O(*n* + *m* + *e*) for *n* routes, *m* of the layout and *e* events.
  func arrange(
    _ layout: [RouteSeedRequest], expected: CatalogVersion?
  ) throws(Refusal) -> [Event] {
    try checkAscending(layout)
    var arrangement = Arrangement(
      of: self, stale: StaleRoutes(expected: expected, current: version))
    var targets = layout[...]
    for route in routes.routes(overlapping: .all) {
      // Cuts within the route before.
      while let target = targets.first, target.start < route.span.lower {
        try arrangement.cut(for: target)
        targets.removeFirst()
      }
      if let target = targets.first, target.start == route.span.lower {
        try arrangement.begin(route, for: target)
        targets.removeFirst()
      } else {
        try arrangement.takeIn(route)
      }
    }
    for target in targets { try arrangement.cut(for: target) }
    try arrangement.finishPart()
    try arrangement.stale.refuse()
    return arrangement.events
  }
}

/// A walk along the keys that turns the routes that are there into those that are wanted.
private struct Arrangement {
  /// The route that is being made: it starts in its place, and where it ends is not known yet.
  private struct Part {
    var id: RouteID
    var start: Key
    /// The group that it is in so far, and the one where it is to be.
    var group: GroupID
    var wanted: GroupID
  }

  var events: [Event] = []
  var newRoute: RouteID
  var stale: StaleRoutes
  private var part: Part?
  /// The route of the catalog that reaches to where the walk is.
  private var holder: Route?

  /// Says where routes may be.
  private let state: CatalogState

  init(of state: CatalogState, stale: StaleRoutes) {
    self.state = state
    newRoute = state.routes.nextRouteID
    self.stale = stale
  }

  /// A route that stays begins.
  mutating func begin(_ route: Route, for target: RouteSeedRequest) throws(Refusal) {
    try finishPart()
    holder = route
    part = Part(
      id: route.id, start: route.span.lower, group: route.group, wanted: target.group)
    if route.group != target.group, !stale.check(route) {
      try state.checkTarget(target.group, for: route)
    }
  }

  /// A route ends that nobody wants to start there.
  mutating func takeIn(_ route: Route) throws(Refusal) {
    guard let part else { preconditionFailure("the first route of both starts at the least key") }
    if let holder { _ = try touch(holder) }
    _ = try touch(route)
    events.append(
      .routesMerged(
        route: part.id, start: part.start, boundary: route.span.lower, absorbed: route.id))
    holder = route
  }

  /// A route begins within the one that is being made.
  mutating func cut(for target: RouteSeedRequest) throws(Refusal) {
    guard var left = part, let holder else {
      preconditionFailure("the first route of both starts at the least key")
    }
    // Who decided on an older state has to look again before all else.
    if try !touch(holder) { try state.checkTarget(target.group, for: holder) }
    guard newRoute.rawValue < .max else { throw .routeIDsExhausted }
    if left.wanted == target.group { try move(&left) }
    events.append(
      .routeSplit(route: left.id, start: left.start, boundary: target.start, newRoute: newRoute))
    let group = left.group
    try move(&left)
    part = Part(id: newRoute, start: target.start, group: group, wanted: target.group)
    newRoute = newRoute.next
  }

  /// What is being made reaches to where the walk is.
  mutating func finishPart() throws(Refusal) {
    guard var done = part else { return }
    try move(&done)
    part = nil
  }

  private mutating func move(_ part: inout Part) throws(Refusal) {
    guard part.group != part.wanted else { return }
    events.append(
      .routeMoved(route: part.id, start: part.start, from: part.group, to: part.wanted))
    part.group = part.wanted
  }

  /// As for any split or merge: what somebody is at work on stays as it is. Returns whether the route
  /// is stale, which is refused in the end.
  private mutating func touch(_ route: Route) throws(Refusal) -> Bool {
    let isStale = stale.check(route)
    if !isStale, route.state != .active { throw .routeNotActive(route) }
    return isStale
  }
}
