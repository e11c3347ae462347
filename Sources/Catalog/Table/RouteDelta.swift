/// What changed between two versions of the routes: taking out ``removed`` and putting in
/// ``upserted`` makes the newer from the older.
package struct RouteDelta: Hashable, Sendable {
  package var from: CatalogVersion
  package var to: CatalogVersion
  /// Ids of routes that are no more, ascending.
  package var removed: [RouteID]
  /// Routes that are new or changed, as they are in ``to``, in key order.
  package var upserted: [Route]

  package init(
    from: CatalogVersion, to: CatalogVersion, removed: [RouteID], upserted: [Route]
  ) {
    self.from = from
    self.to = to
    self.removed = removed
    self.upserted = upserted
  }
}

extension RouteDelta {
  /// The change that folding `events` made of `old`: looks at the routes that the events name and
  /// at no others, so it costs O(*e* log *n*).
  package static func between(
    _ old: RouteTable, _ new: RouteTable, touching events: [Event]
  ) -> RouteDelta {
    if old.isEmpty {
      return RouteDelta(
        from: old.version, to: new.version, removed: [],
        upserted: new.routes(overlapping: .all))
    }
    var touched: Set<RouteID> = []
    for event in events {
      switch event {
      case .routesBootstrapped(let seeds): touched.formUnion(seeds.lazy.map(\.id))
      case .routeSplit(let route, _, _, let newRoute): touched.formUnion([route, newRoute])
      case .routesMerged(let route, _, _, let absorbed): touched.formUnion([route, absorbed])
      case .routeMoved(let route, _, _, _), .routeStateChanged(let route, _, _, _),
        .allowedRegionsChanged(let route, _, _):
        touched.insert(route)
      case .catalogCommitted, .logTrimmed, .region, .membership:
        break
      }
    }
    var removed: [RouteID] = []
    var upserted: [Route] = []
    for id in touched {
      if let route = new.route(id: id) {
        upserted.append(route)
      } else if old.route(id: id) != nil {
        removed.append(id)
      }
      // Else the route came and went within the same entry: neither version knows it.
    }
    removed.sort()
    upserted.sort { $0.span.lower < $1.span.lower }
    return RouteDelta(from: old.version, to: new.version, removed: removed, upserted: upserted)
  }
}
