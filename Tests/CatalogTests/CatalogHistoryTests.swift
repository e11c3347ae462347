import Testing

@testable import Catalog

@Suite struct CatalogHistoryTests {
  /// One route over everything, then a split a version at the keys 1, 2, 3 …
  private func history(versions: Int, capacity: Int) throws -> CatalogHistory {
    var table = RouteTable()
    var history = CatalogHistory(from: table, capacity: capacity)
    for number in 1...versions {
      let version = CatalogVersion(UInt64(number))
      let event: Event =
        number == 1
        ? .routesBootstrapped([RouteSeed(id: RouteID(1), start: .least, group: GroupID(7))])
        : .routeSplit(
          route: RouteID(UInt64(number - 1)),
          start: number == 2 ? .least : try Key([UInt8(number - 1)]),
          boundary: try Key([UInt8(number)]), newRoute: RouteID(UInt64(number)))
      let time = HybridTimestamp(milliseconds: UInt64(number))
      try table.edit(version: version, time: time) { editor throws(RouteTableError) in
        switch event {
        case .routesBootstrapped(let seeds): try editor.bootstrap(seeds)
        case .routeSplit(let route, let start, let boundary, let newRoute):
          try editor.split(route: route, start: start, boundary: boundary, newRoute: newRoute)
        default: Issue.record("no other events here")
        }
      }
      history.append(table, events: [event])
    }
    return history
  }

  @Test func keepsTheNewestVersionsAndForgetsTheRest() throws {
    let history = try history(versions: 20, capacity: 8)
    #expect(history.count == 8)
    #expect(history.oldest == CatalogVersion(13))
    #expect(history.newest == CatalogVersion(20))
    #expect(history.table(at: CatalogVersion(12)) == nil)
    #expect(history.table(at: CatalogVersion(21)) == nil)
    for version in 13...20 {
      let table = try #require(history.table(at: CatalogVersion(UInt64(version))))
      #expect(table.version.rawValue == UInt64(version))
      #expect(table.count == version)
    }
  }

  @Test func deltasLeadFromEachVersionToTheNext() throws {
    let history = try history(versions: 20, capacity: 30)
    var routes: [RouteID: Route] = [:]
    for number in UInt64(1)...20 {
      let delta = try #require(history.delta(to: CatalogVersion(number)))
      #expect(delta.from == CatalogVersion(number - 1))
      #expect(delta.to == CatalogVersion(number))
      for id in delta.removed { #expect(routes.removeValue(forKey: id) != nil) }
      for route in delta.upserted { routes[route.id] = route }
      let table = try #require(history.table(at: CatalogVersion(number)))
      #expect(
        routes.values.sorted { $0.span.lower < $1.span.lower } == table.routes(overlapping: .all))
    }
    #expect(history.delta(to: .zero) == nil, "nothing is known of what came before")
    #expect(history.delta(to: CatalogVersion(21)) == nil)
  }

  @Test func aRouteThatCameAndWentWithinOneEntryIsInNoDelta() throws {
    let history = try history(versions: 2, capacity: 8)
    let old = try #require(history.table(at: CatalogVersion(2)))
    var new = old
    let boundary = try Key([9])
    let start = try Key([2])
    try new.edit(version: CatalogVersion(3), time: HybridTimestamp(milliseconds: 3)) {
      editor throws(RouteTableError) in
      try editor.split(route: RouteID(2), start: start, boundary: boundary, newRoute: RouteID(3))
      try editor.merge(route: RouteID(2), start: start, boundary: boundary, absorbed: RouteID(3))
    }
    let delta = RouteDelta.between(
      old, new,
      touching: [
        .routeSplit(route: RouteID(2), start: start, boundary: boundary, newRoute: RouteID(3)),
        .routesMerged(route: RouteID(2), start: start, boundary: boundary, absorbed: RouteID(3)),
      ])
    #expect(delta.removed == [])
    #expect(delta.upserted.map(\.id) == [RouteID(2)])
  }

  /// A bootstrap's seeds are not read again, and may be a million.
  @Test func noSeedsAreKept() throws {
    var table = RouteTable()
    var history = CatalogHistory(from: table)
    let seeds = [RouteSeed(id: RouteID(1), start: .least, group: GroupID(1), allowedRegions: [])]
    try table.edit(version: CatalogVersion(1), time: HybridTimestamp(1)) { editor in
      try editor.bootstrap(seeds)
    }
    history.append(table, events: [.routesBootstrapped(seeds)])
    #expect(history.version(CatalogVersion(1))?.events == [])
    #expect(history.delta(to: CatalogVersion(1))?.upserted == table.routes(overlapping: .all))
  }
}

extension CatalogHistory {
  /// What changed from the version before to this one; nil unless both are retained.
  fileprivate func delta(to version: CatalogVersion) -> RouteDelta? {
    guard version > .zero, let old = table(at: CatalogVersion(version.rawValue - 1)),
      let new = self.version(version)
    else { return nil }
    return RouteDelta.between(old, new.table, touching: new.events)
  }
}
