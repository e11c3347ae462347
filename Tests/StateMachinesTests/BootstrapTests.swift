import Catalog
import StateMachines
import TestSupport
import Testing

@Suite struct BootstrapTests {
  private func bootstrap(_ starts: String...) -> RouteChange {
    .bootstrap(starts.map { RouteSeedRequest(start: Key($0), group: GroupID(1)) })
  }

  @Test func routesGetIDsInKeyOrder() throws {
    var catalog = TestCatalog(empty: ())
    let (east, west) = (try Region("us-east"), try Region("eu-west"))
    let events = try catalog.perform(
      .bootstrap([
        RouteSeedRequest(start: .least, group: GroupID(4)),
        RouteSeedRequest(start: Key("m"), group: GroupID(5), allowedRegions: [east, west, east]),
      ]))
    #expect(
      events == [
        .routesBootstrapped([
          RouteSeed(id: RouteID(1), start: .least, group: GroupID(4)),
          RouteSeed(
            id: RouteID(2), start: Key("m"), group: GroupID(5), allowedRegions: [west, east]),
        ])
      ])
    #expect(catalog.state.version == CatalogVersion(1))
    #expect(catalog.state.appliedThrough == LogPosition(1))
  }

  @Test func theFirstStartsAtTheLeastKey() {
    let catalog = TestCatalog(empty: ())
    #expect(catalog.refusal(of: bootstrap("a")) == .firstRouteNotAtLeastKey(start: Key("a")))
  }

  @Test func startsAscend() {
    let catalog = TestCatalog(empty: ())
    #expect(
      catalog.refusal(of: bootstrap("", "b", "b", "a"))
        == .bootstrapNotAscending(index: 2, previous: Key("b"), start: Key("b")))
    #expect(
      catalog.refusal(of: bootstrap("", "b", "a"))
        == .bootstrapNotAscending(index: 2, previous: Key("b"), start: Key("a")))
  }

  @Test func onceOnly() throws {
    let catalog = try TestCatalog()
    #expect(catalog.refusal(of: bootstrap("")) == .alreadyBootstrapped(version: CatalogVersion(1)))
  }

  @Test func beforeItNothingElseIsDone() {
    let catalog = TestCatalog(empty: ())
    let changes: [RouteChange] = [
      .split([SplitRequest(at: Key("m"))]),
      .merge([MergeRequest(left: RouteID(1), right: RouteID(2))]),
      .move([RouteID(1)], to: GroupID(1)), .setState([RouteID(1)], to: .active),
      .setAllowedRegions([RouteID(1)], to: []),
    ]
    for change in changes { #expect(catalog.refusal(of: change) == .notBootstrapped) }
  }

  @Test func itMayBeLongerThanABatch() throws {
    let seeds = (0...RouteChange.maximumCount).map { index in
      RouteSeedRequest(
        start: index == 0 ? .least : Key(String(1_000_000 + index)), group: GroupID(1))
    }
    let decision = try CatalogState(catalog: TestCatalog.id).decide(
      TestCatalog(empty: ()).command(.bootstrap(seeds)))
    #expect(decision != .alreadyDone)
  }
}
