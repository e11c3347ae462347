import Catalog

extension CatalogState {
  /// Cuts, in key order. A key at which a route starts is cut already, whatever route was named
  /// with it: so a batch that was carried out, sent again, is done.
  func split(_ splits: [SplitRequest], expected: CatalogVersion?) throws(Refusal) -> [Event] {
    var events: [Event] = []
    events.reserveCapacity(splits.count)
    var stale = StaleRoutes(expected: expected, current: version)
    var newRoute = routes.nextRouteID
    // The route of the table that holds the key, and its part that begins at the last cut.
    var holder: Route?
    var part = (id: RouteID(0), start: Key.least)
    for split in splits.count > 1 ? splits.sorted(by: { $0.at < $1.at }) : splits {
      let key = split.at
      if holder.map({ !$0.span.contains(key) }) ?? true {
        guard let found = routes.route(containing: key) else { throw .notBootstrapped }
        holder = found
        part = (found.id, found.span.lower)
      }
      guard let route = holder, key != route.span.lower else { continue }
      if let named = split.route, named != route.id {
        throw .splitKeyOutsideRoute(key, named: try known(named), holder: route)
      }
      guard key != part.start else { continue }  // The same key again.
      let isFirstCut = part.id == route.id
      if isFirstCut, !stale.check(route) {
        guard route.state == .active else { throw .routeNotActive(route) }
        // Both parts would be where the route should not be.
        try checkTarget(route.group, for: route)
      }
      guard newRoute.rawValue < .max else { throw .routeIDsExhausted }
      events.append(
        .routeSplit(route: part.id, start: part.start, boundary: key, newRoute: newRoute))
      part = (newRoute, key)
      newRoute = newRoute.next
    }
    try stale.refuse()
    return events
  }
}
