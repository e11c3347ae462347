import Catalog
import StateMachines
import TestSupport
import Testing

@Suite struct MergeTests {
  private func merge(_ pairs: (UInt64, UInt64)...) -> RouteChange {
    .merge(pairs.map { MergeRequest(left: RouteID($0.0), right: RouteID($0.1)) })
  }

  @Test func theLeftOneTakesTheRightOneIn() throws {
    var catalog = try TestCatalog(starts: ["g", "m"])
    #expect(
      try catalog.perform(merge((1, 2))) == [
        .routesMerged(route: RouteID(1), start: .least, boundary: Key("g"), absorbed: RouteID(2))
      ])
    #expect(catalog.routes.map(\.id.rawValue) == [1, 3])
    #expect(catalog.route("h").id == RouteID(1))
  }

  @Test func namedTheOtherWayRoundItIsTheSame() throws {
    let catalog = try TestCatalog(starts: ["g", "m"])
    #expect(
      try catalog.state.decide(catalog.command(merge((3, 2))))
        == catalog.state.decide(catalog.command(merge((2, 3)))))
  }

  @Test func pairsChain() throws {
    var catalog = try TestCatalog(starts: ["c", "g", "m", "t"])
    let events = try catalog.perform(merge((5, 4), (2, 3), (1, 2), (2, 1)))
    #expect(
      events == [
        .routesMerged(route: RouteID(1), start: .least, boundary: Key("c"), absorbed: RouteID(2)),
        .routesMerged(route: RouteID(1), start: .least, boundary: Key("g"), absorbed: RouteID(3)),
        .routesMerged(
          route: RouteID(4), start: Key("m"), boundary: Key("t"), absorbed: RouteID(5)),
      ])
    #expect(catalog.routes.map(\.id.rawValue) == [1, 4])
  }

  @Test func routesThatDoNotTouchNameWhatLiesBetween() throws {
    let catalog = try TestCatalog(starts: ["c", "g", "m"])
    #expect(
      catalog.refusal(of: merge((4, 1)))
        == .notNeighbours(
          left: catalog.route("a"), right: catalog.route("z"),
          between: [catalog.route("c"), catalog.route("g")], betweenCount: 2))
  }

  @Test func aLongWayBetweenIsCutShort() throws {
    let starts = (0..<1500).map { "k" + String($0 + 10_000) }
    let catalog = try TestCatalog(starts: starts)
    guard case .notNeighbours(_, _, let between, let count) = catalog.refusal(of: merge((1, 1200)))
    else {
      Issue.record("not refused")
      return
    }
    #expect(between.map(\.id.rawValue) == Array(2...9))
    #expect(count == 1000)
  }

  @Test func bothAreActiveInOneGroupAndAllowedInTheSameRegions() throws {
    var catalog = try TestCatalog(starts: ["c", "g", "m", "t"])
    try catalog.perform(.move([RouteID(2)], to: GroupID(9)))
    try catalog.perform(.setAllowedRegions([RouteID(4)], to: [try Region("eu-west")]))
    try catalog.perform(.setState([RouteID(5)], to: .softFailed))
    #expect(
      catalog.refusal(of: merge((1, 2)))
        == .differentGroups(left: catalog.route("a"), right: catalog.route("c")))
    #expect(
      catalog.refusal(of: merge((3, 4)))
        == .differentRegions(left: catalog.route("g"), right: catalog.route("m")))
    #expect(catalog.refusal(of: merge((4, 5))) == .routeNotActive(catalog.route("t")))
  }

  @Test func oneBadPairRefusesTheBatch() throws {
    var catalog = try TestCatalog(starts: ["c", "g"])
    let before = catalog.state.header
    #expect(throws: Refusal.mergeWithItself(RouteID(3))) {
      try catalog.perform(merge((1, 2), (3, 3)))
    }
    #expect(catalog.state.header == before)
  }

  @Test func absorbedRoutesAreGone() throws {
    var catalog = try TestCatalog(starts: ["c"])
    try catalog.perform(merge((1, 2)))
    #expect(catalog.refusal(of: merge((1, 2))) == .routeGone(RouteID(2)))
    #expect(
      catalog.refusal(of: merge((1, 3))) == .noSuchRoute(RouteID(3), nextRouteID: RouteID(3)))
  }

  @Test func aStaleVersionIsToldBeforeEverythingElse() throws {
    var catalog = try TestCatalog(starts: ["c"])
    try catalog.perform(.move([RouteID(2)], to: GroupID(9)))
    #expect(
      catalog.refusal(of: merge((1, 2)), expecting: 1)
        == .staleVersion(
          expected: CatalogVersion(1), current: CatalogVersion(2), newer: [catalog.route("c")]))
  }

  @Test func aStaleRouteIsNamedOnce() throws {
    var catalog = try TestCatalog(starts: ["c", "f"])
    try catalog.perform(.move([RouteID(2)], to: GroupID(9)))
    #expect(
      catalog.refusal(of: merge((1, 2), (2, 3)), expecting: 1)
        == .staleVersion(
          expected: CatalogVersion(1), current: CatalogVersion(2), newer: [catalog.route("c")]))
  }
}
