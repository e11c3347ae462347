import Catalog

/// Which routes a question about a version is after.
package enum RouteScope: Hashable, Sendable {
  /// Those that hold one of these keys.
  case keys([Key])
  /// Those that overlap the span.
  case span(KeySpan)
  /// Those of the group.
  case group(GroupID)
  /// These.
  case ids(Set<RouteID>)
}

extension RouteScope {
  /// Whether `route` is one of those that are asked for. O(*k*) for *k* keys.
  package func contains(_ route: Route) -> Bool {
    switch self {
    case .keys(let keys): keys.contains { route.span.contains($0) }
    case .span(let span): route.span.overlaps(span)
    case .group(let group): route.group == group
    case .ids(let ids): ids.contains(route.id)
    }
  }
}

extension Event {
  /// Tells `body` every route that the event makes, changes or ends; some of them twice.
  package func forEachRoute(_ body: (RouteID) -> Void) {
    switch self {
    case .routesBootstrapped(let seeds):
      for seed in seeds { body(seed.id) }
    case .routeSplit(let route, _, _, let newRoute):
      body(route)
      body(newRoute)
    case .routesMerged(let route, _, _, let absorbed):
      body(route)
      body(absorbed)
    case .routeMoved(let route, _, _, _), .routeStateChanged(let route, _, _, _),
      .allowedRegionsChanged(let route, _, _):
      body(route)
    case .catalogCommitted, .logTrimmed, .region, .membership:
      break
    }
  }
}
