import Catalog
import StateMachines
import TestSupport
import Testing

/// A catalog that is brought into line with a list of routes from elsewhere.
@Suite struct ArrangeTests {
  private func layout(_ routes: KeyValuePairs<String, UInt64>) -> RouteChange {
    .arrange(routes.map { RouteSeedRequest(start: Key($0), group: GroupID($1)) })
  }

  private func spans(_ catalog: TestCatalog) -> [String] {
    catalog.routes.map { "\($0.span.lower.description) \($0.id) \($0.group)" }
  }

  @Test func anEmptyCatalogIsBootstrapped() throws {
    var catalog = TestCatalog(empty: ())
    let events = try catalog.perform(layout(["": 1, "m": 2]))
    guard case .routesBootstrapped(let seeds)? = events.first else {
      Issue.record("no bootstrap: \(events)")
      return
    }
    #expect(events.count == 1 && seeds.map(\.group) == [GroupID(1), GroupID(2)])
    #expect(try catalog.perform(layout(["": 1, "m": 2])).isEmpty, "it is as asked")
    #expect(catalog.state.version == CatalogVersion(1))
  }

  @Test func aBoundaryThatMovedIsAMergeAndASplit() throws {
    var catalog = try TestCatalog(starts: ["g", "p"])
    let events = try catalog.perform(layout(["": 1, "k": 1, "p": 1]))
    #expect(
      events == [
        .routesMerged(
          route: RouteID(1), start: .least, boundary: Key("g"), absorbed: RouteID(2)),
        .routeSplit(route: RouteID(1), start: .least, boundary: Key("k"), newRoute: RouteID(4)),
      ])
    #expect(spans(catalog) == [" 1 1", "k 4 1", "p 3 1"])
    #expect(catalog.state.version == CatalogVersion(2), "one version")
    #expect(catalog.route("q").version == CatalogVersion(1), "what stays is not touched")
  }

  @Test func aRouteIsMovedOnceWhereItsPartsGoToOneGroup() throws {
    var catalog = try TestCatalog()
    let events = try catalog.perform(layout(["": 7, "d": 7, "m": 7]))
    #expect(events.count == 3, "two splits and a move: \(events)")
    #expect(spans(catalog) == [" 1 7", "d 2 7", "m 3 7"])
  }

  @Test func routesOfOtherGroupsAreTakenInWithoutMovingThemFirst() throws {
    var catalog = try TestCatalog(starts: ["g", "p"])
    try catalog.perform(.move([RouteID(2)], to: GroupID(5)))
    let events = try catalog.perform(layout(["": 5]))
    #expect(events.count == 3, "two merges and a move: \(events)")
    #expect(spans(catalog) == [" 1 5"])
  }

  @Test func aRouteThatSomebodyIsAtWorkOnIsLeftWhole() throws {
    var catalog = try TestCatalog(starts: ["g"])
    try catalog.perform(.setState([RouteID(2)], to: .migratingSource))
    let fenced = catalog.route("h")
    #expect(catalog.refusal(of: layout(["": 1, "g": 1, "m": 1])) == .routeNotActive(fenced))
    #expect(catalog.refusal(of: layout(["": 1])) == .routeNotActive(fenced))
    #expect(try catalog.perform(layout(["": 1, "g": 9])).count == 1, "it may change its group")
  }

  @Test func whatChangedSinceIsNotOverwritten() throws {
    var catalog = try TestCatalog(starts: ["g"])
    try catalog.perform(.move([RouteID(2)], to: GroupID(3)))
    let refusal = catalog.refusal(of: layout(["": 1, "g": 1]), expecting: 1)
    guard case .staleVersion(_, _, let newer)? = refusal else {
      Issue.record("not refused: \(String(describing: refusal))")
      return
    }
    #expect(newer.map(\.id) == [RouteID(2)])
    #expect(catalog.refusal(of: layout(["": 2, "g": 3]), expecting: 1) == nil, "another route")
  }

  /// Where a cut would come to lie is no news to somebody who looked at another catalog.
  @Test func whatIsStaleIsSaidBeforeWhatIsMisplaced() throws {
    var catalog = try TestCatalog(starts: ["g"])
    let (asia, europe) = (try Region("asia"), try Region("europe"))
    try catalog.perform(.membership(.enable(.members)))
    try catalog.perform(.membership(.setHomes([GroupID(9)], asia, evenIfViolating: false)))
    let wanted = layout(["": 1, "g": 1, "m": 9])
    #expect(catalog.refusal(of: wanted, expecting: 1) == nil)
    try catalog.perform(.setAllowedRegions([RouteID(2)], to: [europe]))
    guard case .membership(.misplaced)? = catalog.refusal(of: wanted) else {
      Issue.record("not misplaced: \(String(describing: catalog.refusal(of: wanted)))")
      return
    }
    guard case .staleVersion? = catalog.refusal(of: wanted, expecting: 1) else {
      Issue.record("not stale: \(String(describing: catalog.refusal(of: wanted, expecting: 1)))")
      return
    }
  }

  @Test func aLayoutThatIsNoneIsRefused() throws {
    let catalog = try TestCatalog(starts: ["g"])
    #expect(catalog.refusal(of: .arrange([])) == .emptyBatch)
    #expect(catalog.refusal(of: layout(["a": 1])) == .firstRouteNotAtLeastKey(start: Key("a")))
    #expect(
      catalog.refusal(of: layout(["": 1, "m": 1, "m": 2]))
        == .bootstrapNotAscending(index: 2, previous: Key("m"), start: Key("m")))
  }
}
