import Catalog

extension CatalogState {
  /// Merges, in key order. The pairs name routes as they are before the command, so that a pair
  /// always means one boundary that is to go.
  func merge(_ merges: [MergeRequest], expected: CatalogVersion?) throws(Refusal) -> [Event] {
    var stale = StaleRoutes(expected: expected, current: version)
    var pairs: [(left: Route, right: Route)] = []
    pairs.reserveCapacity(merges.count)
    for merge in merges {
      guard merge.left != merge.right else { throw .mergeWithItself(merge.left) }
      let named = (try known(merge.left), try known(merge.right))
      pairs.append(named.0.span.lower < named.1.span.lower ? named : (named.1, named.0))
    }
    // What the caller did not see explains every other reason, so it is told first.
    for pair in pairs {
      stale.check(pair.left)
      stale.check(pair.right)
    }
    try stale.refuse()
    if pairs.count > 1 { pairs.sort { $0.right.span.lower < $1.right.span.lower } }

    var events: [Event] = []
    events.reserveCapacity(pairs.count)
    // The last route that was absorbed, and the one that took it in.
    var absorbed = RouteID(0)
    var survivor = (id: RouteID(0), start: Key.least)
    for (left, right) in pairs {
      try checkMergeable(left, right)
      if right.id == absorbed { continue }  // The same pair again.
      if left.id != absorbed { survivor = (left.id, left.span.lower) }
      events.append(
        .routesMerged(
          route: survivor.id, start: survivor.start, boundary: right.span.lower,
          absorbed: right.id))
      absorbed = right.id
    }
    return events
  }

  private func checkMergeable(_ left: Route, _ right: Route) throws(Refusal) {
    if let upper = left.span.upper, upper < right.span.lower {
      let between = routes.routes(
        overlapping: KeySpan(unchecked: upper, right.span.lower),
        limit: Refusal.maximumBetweenCount)
      throw .notNeighbours(
        left: left, right: right, between: Array(between.prefix(Refusal.maximumRouteCount)),
        betweenCount: between.count)
    }
    guard left.state == .active else { throw .routeNotActive(left) }
    guard right.state == .active else { throw .routeNotActive(right) }
    guard left.group == right.group else { throw .differentGroups(left: left, right: right) }
    guard left.allowedRegions == right.allowedRegions else {
      throw .differentRegions(left: left, right: right)
    }
    try checkTarget(left.group, for: left)
  }
}
