import Catalog

extension CatalogState {
  /// That a route may be in a group, by the group's home.
  ///
  /// A group without a home may be anywhere. O(log *n*), nothing where there are no homes.
  func checkPlacement(
    of route: Route, in group: GroupID, allowed: [Region]? = nil
  ) throws(Refusal) {
    guard membership.homeCount > 0, let home = membership.home(of: group) else { return }
    let allowed = allowed ?? route.allowedRegions
    guard allowed.isEmpty || allowed.contains(home) else {
      throw .membership(.misplaced([route], group: group, home: home, count: 1))
    }
  }

  /// That a group's region is there, and a route may be in the group.
  func checkTarget(_ group: GroupID, for route: Route) throws(Refusal) {
    guard membership.homeCount > 0, let home = membership.home(of: group) else { return }
    if let status = membership.region(home)?.status, status.isFenced {
      throw .membership(.regionNotUp(home, status))
    }
    try checkPlacement(of: route, in: group)
  }

  /// That the region where a route's group is at home is not lost.
  func checkHome(of route: Route) throws(Refusal) {
    guard membership.homeCount > 0, let home = membership.home(of: route.group) else { return }
    if let status = membership.region(home)?.status, status.isFenced {
      throw .membership(.regionNotUp(home, status))
    }
  }

  /// That a region still has the epoch under which somebody asks in its name.
  func checkFence(_ origin: RegionOrigin) throws(Refusal) {
    guard let record = membership.region(origin.region) else {
      // Nothing is known of it that could have ended its first epoch.
      guard origin.epoch == 0 else { throw .membership(.noSuchRegion(origin.region)) }
      return
    }
    guard record.epoch == origin.epoch, !record.status.isFenced else {
      throw .membership(.fenced(origin, record))
    }
  }

  func checkUp(_ region: Region) throws(MembershipRefusal) {
    if let status = membership.region(region)?.status, status.isFenced {
      throw .regionNotUp(region, status)
    }
  }

  /// That all routes of a group may be in a region. O(*m* log *n*) for *m* routes.
  func checkRoutes(of group: GroupID, at home: Region) throws(MembershipRefusal) {
    var (named, count) = ([Route](), 0)
    routes.forEachRoute(of: group) { route in
      guard !route.allowedRegions.isEmpty, !route.allowedRegions.contains(home) else { return true }
      count += 1
      if named.count < MembershipRefusal.maximumNamedCount { named.append(route) }
      return count < Refusal.maximumBetweenCount
    }
    guard count == 0 else {
      throw .misplaced(named, group: group, home: home, count: count)
    }
  }
}

/// A route that is where it should not be.
package struct PlacementViolation: Hashable, Sendable {
  package enum Problem: UInt32, Hashable, Sendable {
    /// The group's home is none of the regions that the route is allowed in.
    case notAllowed = 0
    /// The group's home is lost, and the route is not soft-failed yet.
    case inLostRegion = 1
  }

  package var route: Route
  /// The home of the route's group.
  package var home: Region
  package var problem: Problem

  package init(route: Route, home: Region, problem: Problem) {
    (self.route, self.home, self.problem) = (route, home, problem)
  }
}

extension CatalogState {
  /// The routes that are not where they should be, in key order, at most `limit`; and how many routes
  /// and violations there are. O(*n* log *g*) for *n* routes and *g* homes.
  package func placementViolations(
    limit: Int = .max
  ) -> (violations: [PlacementViolation], count: Int, routeCount: Int) {
    var violations: [PlacementViolation] = []
    var count = 0
    guard membership.homeCount > 0 else { return ([], 0, routes.count) }
    func add(_ route: Route, _ home: Region, _ problem: PlacementViolation.Problem) {
      count += 1
      if violations.count < limit {
        violations.append(PlacementViolation(route: route, home: home, problem: problem))
      }
    }
    // Neighbours tend to be in one group.
    var last: (group: GroupID, home: Region?)?
    var next: Key? = .least
    while let start = next {
      let slice = routes.routes(overlapping: KeySpan(unchecked: start, nil), limit: 4096)
      for route in slice {
        if last?.group != route.group { last = (route.group, membership.home(of: route.group)) }
        guard let home = last?.home else { continue }
        if !route.allowedRegions.isEmpty, !route.allowedRegions.contains(home) {
          add(route, home, .notAllowed)
        } else if membership.region(home)?.status == .lost, route.state != .softFailed {
          add(route, home, .inLostRegion)
        }
      }
      next = slice.last?.span.upper
    }
    return (violations, count, routes.count)
  }
}

extension RouteTable {
  /// Hands out the routes of a group after one, in the order of ids, for as long as `body` says so.
  /// O(*m* log *n*) for *m* routes.
  func forEachRoute(
    of group: GroupID, after id: RouteID? = nil, _ body: (Route) -> Bool
  ) {
    var last = id
    while true {
      let slice = routes(of: group, after: last, limit: 1024)
      for route in slice where !body(route) { return }
      guard slice.count == 1024 else { return }
      last = slice.last?.id
    }
  }
}
