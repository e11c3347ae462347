import Catalog
import StateMachines
import TestSupport
import Testing

/// Moves, states and allowed regions, and the limits of all commands.
@Suite struct RouteChangeTests {
  @Test func aMoveSaysFromWhereToWhere() throws {
    var catalog = try TestCatalog(starts: ["m"])
    // In key order, each route once, whatever the order of ids.
    let events = try catalog.perform(
      .move([RouteID(2), RouteID(1), RouteID(2)], to: GroupID(3)))
    #expect(
      events == [
        .routeMoved(route: RouteID(1), start: .least, from: GroupID(1), to: GroupID(3)),
        .routeMoved(route: RouteID(2), start: Key("m"), from: GroupID(1), to: GroupID(3)),
      ])
  }

  @Test func eventsComeInKeyOrderAndNotInThatOfIDs() throws {
    var catalog = try TestCatalog()
    try catalog.perform(.split([SplitRequest(at: Key("t"))]))
    try catalog.perform(.split([SplitRequest(at: Key("b"))]))
    let events = try catalog.perform(
      .setState([RouteID(2), RouteID(3)], to: .migratingSource))
    #expect(
      events == [
        .routeStateChanged(
          route: RouteID(3), start: Key("b"), from: .active, to: .migratingSource),
        .routeStateChanged(
          route: RouteID(2), start: Key("t"), from: .active, to: .migratingSource),
      ])
  }

  @Test func whatIsSoAlreadyIsPassedOver() throws {
    var catalog = try TestCatalog(starts: ["m"])
    try catalog.perform(.move([RouteID(1)], to: GroupID(3)))
    let change = RouteChange.move([RouteID(1), RouteID(2)], to: GroupID(3))
    #expect(try catalog.perform(change, expecting: 1).count == 1)
    // Done since, though both changed after the version that is named.
    #expect(try catalog.state.decide(catalog.command(change, expecting: 1)) == .alreadyDone)
  }

  @Test func regionsAreSortedAndNamedOnce() throws {
    var catalog = try TestCatalog()
    let (a, b) = (try Region("a"), try Region("b"))
    #expect(
      try catalog.perform(.setAllowedRegions([RouteID(1)], to: [b, a, b])) == [
        .allowedRegionsChanged(route: RouteID(1), start: .least, regions: [a, b])
      ])
    #expect(try catalog.perform(.setAllowedRegions([RouteID(1)], to: [a, a, b])).isEmpty)
    #expect(try catalog.perform(.setAllowedRegions([RouteID(1)], to: [])).count == 1)
  }

  @Test func aRouteHasALimitOfRegions() throws {
    var catalog = try TestCatalog()
    let regions = try (0...Region.maximumCount).map { try Region("r\($0)") }
    let refusal = Refusal.tooManyRegions(count: 101, maximum: 100)
    #expect(catalog.refusal(of: .setAllowedRegions([RouteID(1)], to: regions)) == refusal)
    #expect(
      TestCatalog(empty: ()).refusal(
        of: .bootstrap([
          RouteSeedRequest(start: .least, group: GroupID(1), allowedRegions: regions)
        ])) == refusal)
    let most = Array(regions.dropLast())
    try catalog.perform(.setAllowedRegions([RouteID(1)], to: most + most))
    #expect(catalog.route("").allowedRegions == most.sorted())
  }

  @Test func oneUnknownRouteRefusesAll() throws {
    var catalog = try TestCatalog(starts: ["m"])
    let before = catalog.state.header
    let refusal = Refusal.noSuchRoute(RouteID(9), nextRouteID: RouteID(3))
    #expect(throws: refusal) {
      try catalog.perform(.move([RouteID(1), RouteID(9)], to: GroupID(3)))
    }
    #expect(throws: refusal) { try catalog.perform(.setState([RouteID(9)], to: .active)) }
    #expect(throws: refusal) { try catalog.perform(.setAllowedRegions([RouteID(9)], to: [])) }
    #expect(catalog.state.header == before)
  }

  @Test func aStaleVersionShowsAtMostAFewRoutes() throws {
    var catalog = try TestCatalog(starts: (0..<20).map { "k" + String($0 + 10) })
    let all = catalog.routes.map(\.id)
    try catalog.perform(.setState(all, to: .writeFenced))
    guard
      case .staleVersion(let expected, let current, let newer) = catalog.refusal(
        of: .move(all, to: GroupID(2)), expecting: 1)
    else {
      Issue.record("not refused")
      return
    }
    #expect(expected == CatalogVersion(1) && current == CatalogVersion(2))
    #expect(newer == Array(catalog.routes.prefix(Refusal.maximumRouteCount)))
  }

  @Test func limits() throws {
    let catalog = try TestCatalog()
    let change = RouteChange.setState([RouteID(1)], to: .writeFenced)
    let state = catalog.state
    let long = String(repeating: "é", count: 513)
    #expect(throws: Refusal.actorTooLong(byteCount: 1026)) {
      try state.decide(catalog.command(change, actor: long))
    }
    #expect(throws: Refusal.reasonTooLong(byteCount: 1026)) {
      try state.decide(catalog.command(change, reason: long))
    }
    #expect(catalog.refusal(of: .bootstrap([])) == .emptyBatch)
    #expect(catalog.refusal(of: .split([])) == .emptyBatch)
    #expect(catalog.refusal(of: .merge([])) == .emptyBatch)
    #expect(catalog.refusal(of: .move([], to: GroupID(1))) == .emptyBatch)
    let many = [RouteID](repeating: RouteID(1), count: 100_001)
    #expect(
      catalog.refusal(of: .setState(many, to: .active))
        == .batchTooLarge(count: 100_001, maximum: 100_000))
  }

  @Test func theIDsRunOutWithATypedRefusal() throws {
    var header = try TestCatalog().state.header
    header.nextRouteID = RouteID(.max - 1)
    let route = Route(
      id: RouteID(1), span: KeySpan.all, group: GroupID(1), version: header.version,
      changedAt: header.time)
    // The digest that such a state has is told by the refusal of a wrong one.
    do {
      _ = try CatalogState(restoring: header, routes: [route])
    } catch .wrongDigest(_, let found) {
      header.digest = found
    }
    let state = try CatalogState(restoring: header, routes: [route])
    let catalog = TestCatalog(empty: ())
    let one = RouteChange.split([SplitRequest(at: Key("a"))])
    #expect(try state.decide(catalog.command(one)) != .alreadyDone)
    let two = RouteChange.split([SplitRequest(at: Key("a")), SplitRequest(at: Key("b"))])
    #expect(throws: Refusal.routeIDsExhausted) { try state.decide(catalog.command(two)) }
  }
}
