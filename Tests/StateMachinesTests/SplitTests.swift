import Catalog
import StateMachines
import TestSupport
import Testing

@Suite struct SplitTests {
  @Test func aSplitKeepsTheLeftIDAndNamesTheParent() throws {
    var catalog = try TestCatalog()
    let events = try catalog.perform(.split([SplitRequest(at: Key("m"))]))
    #expect(
      events == [
        .routeSplit(route: RouteID(1), start: .least, boundary: Key("m"), newRoute: RouteID(2))
      ])
    #expect(catalog.state.version == CatalogVersion(2))
    #expect(catalog.route("a").id == RouteID(1))
    #expect(catalog.route("m").id == RouteID(2))
    #expect(catalog.route("m").parent == RouteID(1))
    #expect(catalog.route("a").version == CatalogVersion(2))
  }

  @Test func cutsOfOneRouteChain() throws {
    var catalog = try TestCatalog(starts: ["p"])
    let keys = ["t", "c", "b", "c", "q"]
    let events = try catalog.perform(.split(keys.map { SplitRequest(at: Key($0)) }))
    #expect(
      events == [
        .routeSplit(route: RouteID(1), start: .least, boundary: Key("b"), newRoute: RouteID(3)),
        .routeSplit(route: RouteID(3), start: Key("b"), boundary: Key("c"), newRoute: RouteID(4)),
        .routeSplit(route: RouteID(2), start: Key("p"), boundary: Key("q"), newRoute: RouteID(5)),
        .routeSplit(route: RouteID(5), start: Key("q"), boundary: Key("t"), newRoute: RouteID(6)),
      ])
    #expect(catalog.routes.map(\.id.rawValue) == [1, 3, 4, 2, 5, 6])
    #expect(Set(catalog.routes.map(\.version)) == [CatalogVersion(2)])
  }

  @Test func aSplitFindsItselfDone() throws {
    var catalog = try TestCatalog()
    let change = RouteChange.split([
      SplitRequest(route: RouteID(1), at: Key("m")), SplitRequest(route: RouteID(1), at: Key("t")),
    ])
    #expect(try catalog.perform(change, expecting: 1).count == 2)
    let before = catalog.state.header
    #expect(try catalog.perform(change, expecting: 1).isEmpty)
    #expect(catalog.state.header == before)
    #expect(try catalog.state.decide(catalog.command(change)) == .alreadyDone)
  }

  @Test func keysThatAreBoundariesArePassedOver() throws {
    var catalog = try TestCatalog(starts: ["m"])
    let events = try catalog.perform(
      .split(["", "m", "x"].map { SplitRequest(at: Key($0)) }))
    #expect(
      events == [
        .routeSplit(route: RouteID(2), start: Key("m"), boundary: Key("x"), newRoute: RouteID(3))
      ])
  }

  @Test func aKeyOutsideTheNamedRouteNamesItsHolder() throws {
    let catalog = try TestCatalog(starts: ["m"])
    #expect(
      catalog.refusal(of: .split([SplitRequest(route: RouteID(1), at: Key("x"))]))
        == .splitKeyOutsideRoute(
          Key("x"), named: catalog.route("a"), holder: catalog.route("x")))
  }

  @Test func aRepeatedKeyIsCheckedEachTime() throws {
    let catalog = try TestCatalog(starts: ["m"])
    let change = RouteChange.split([
      SplitRequest(at: Key("x")), SplitRequest(route: RouteID(1), at: Key("x")),
    ])
    #expect(catalog.refusal(of: change)?.code == "split_key_outside_route")
  }

  @Test func onlyActiveRoutesAreSplit() throws {
    var catalog = try TestCatalog(starts: ["m"])
    try catalog.perform(.setState([RouteID(2)], to: .writeFenced))
    // The first key of the route is passed over and must not hide the second one's check.
    let change = RouteChange.split(["c", "m", "x"].map { SplitRequest(at: Key($0)) })
    #expect(catalog.refusal(of: change) == .routeNotActive(catalog.route("x")))
    #expect(catalog.refusal(of: .split([SplitRequest(at: Key("m"))])) == nil)
  }

  @Test func routesThatAreNotThereAreTold() throws {
    var catalog = try TestCatalog(starts: ["m"])
    #expect(
      catalog.refusal(of: .split([SplitRequest(route: RouteID(3), at: Key("x"))]))
        == .noSuchRoute(RouteID(3), nextRouteID: RouteID(3)))
    #expect(
      catalog.refusal(of: .split([SplitRequest(route: RouteID(0), at: Key("x"))]))
        == .noSuchRoute(RouteID(0), nextRouteID: RouteID(3)))
    try catalog.perform(.merge([MergeRequest(left: RouteID(1), right: RouteID(2))]))
    #expect(
      catalog.refusal(of: .split([SplitRequest(route: RouteID(2), at: Key("x"))]))
        == .routeGone(RouteID(2)))
  }

  @Test func aStaleVersionCarriesTheNewerRoutes() throws {
    var catalog = try TestCatalog(starts: ["m"])
    try catalog.perform(.move([RouteID(2)], to: GroupID(7)))
    let change = RouteChange.split([SplitRequest(at: Key("x"))])
    #expect(
      catalog.refusal(of: change, expecting: 1)
        == .staleVersion(
          expected: CatalogVersion(1), current: CatalogVersion(2), newer: [catalog.route("x")]))
    // The other route has not changed since, so the same version is good for it.
    #expect(catalog.refusal(of: .split([SplitRequest(at: Key("c"))]), expecting: 1) == nil)
    #expect(catalog.refusal(of: change, expecting: 2) == nil)
    #expect(
      catalog.refusal(of: change, expecting: 3)
        == .versionInFuture(expected: CatalogVersion(3), current: CatalogVersion(2)))
  }
}
