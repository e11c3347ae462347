extension RouteTable {
  /// Traps unless the routes tile the keyspace and the indexes and the digest agree with them.
  /// O(*n* log *n*).
  package func checkInvariants() {
    byStart.checkInvariants()
    byID.checkInvariants()
    byGroup.checkInvariants()
    precondition(byID.count == count, "each route has an id of its own")
    precondition(byGroup.count == count, "each route is in one group")

    let routes = routes(overlapping: .all)
    precondition(routes.count == count, "the whole keyspace holds all routes")
    precondition(routes.first.map { $0.span.lower == .least } ?? true, "the first is at the start")
    precondition(routes.last.map { $0.span.upper == nil } ?? true, "the last reaches the end")
    for (left, right) in zip(routes, routes.dropFirst()) {
      precondition(left.span.upper == right.span.lower, "\(left.id) meets \(right.id)")
    }
    var sum = StateDigest.zero
    for route in routes {
      precondition(route.id > RouteID(0) && route.id < nextRouteID, "ids are below the next one")
      precondition(self.route(id: route.id) == route, "\(route.id) is found by its id")
      IndexKey.withBytes(of: route.group, route.id) { key in
        precondition(byGroup.withEntry(at: key) { $0 != nil }, "\(route.id) is found by its group")
      }
      sum += route.record.withUnsafeBytes(StateDigest.init(ofRecord:))
    }
    precondition(sum == digest, "the digest sums the records")
  }
}
