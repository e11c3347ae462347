import Catalog
import StateMachines
import TestSupport
import Testing

@Suite struct RefusalTests {
  private static let left = Route(
    id: RouteID(1), span: KeySpan(unchecked: .least, Key("c")), group: GroupID(1),
    version: CatalogVersion(1), changedAt: HybridTimestamp(1))
  private static let right = Route(
    id: RouteID(2), span: KeySpan(unchecked: Key("m"), nil), group: GroupID(2),
    state: .writeFenced, allowedRegions: (try? [Region("eu-west")]) ?? [],
    version: CatalogVersion(3), changedAt: HybridTimestamp(1))

  private static let all: [Refusal] = [
    .notBootstrapped, .alreadyBootstrapped(version: CatalogVersion(3)),
    .firstRouteNotAtLeastKey(start: Key("a")),
    .bootstrapNotAscending(index: 2, previous: Key("b"), start: Key("a")), .emptyBatch,
    .batchTooLarge(count: 100_001, maximum: 100_000), .actorTooLong(byteCount: 1025),
    .reasonTooLong(byteCount: 1025), .tooManyRegions(count: 101, maximum: 100), .entryTooLong,
    .clockWrong(HybridTimestamp(milliseconds: 1 << 47)),
    .notEncodable(LogCodingError(.keyTooLong(byteCount: 5000), at: 120)),
    .staleVersion(expected: CatalogVersion(2), current: CatalogVersion(3), newer: [right]),
    .versionInFuture(expected: CatalogVersion(4), current: CatalogVersion(3)),
    .noSuchRoute(RouteID(9), nextRouteID: RouteID(3)), .routeGone(RouteID(2)),
    .routeNotActive(right), .splitKeyOutsideRoute(Key("z"), named: left, holder: right),
    .routeIDsExhausted, .mergeWithItself(RouteID(2)),
    .notNeighbours(left: left, right: right, between: [left], betweenCount: 1000),
    .differentGroups(left: left, right: right), .differentRegions(left: left, right: right),
  ]

  /// Programs tell refusals apart by these: they never change.
  @Test func codesAreStable() {
    #expect(
      Self.all.map(\.code) == [
        "not_bootstrapped", "already_bootstrapped", "first_route_not_at_least_key",
        "bootstrap_not_ascending", "empty_batch", "batch_too_large", "actor_too_long",
        "reason_too_long", "too_many_regions", "entry_too_long", "clock_wrong", "not_encodable",
        "stale_version",
        "version_in_future", "no_such_route", "route_gone", "route_not_active",
        "split_key_outside_route", "route_ids_exhausted", "merge_with_itself", "not_neighbours",
        "different_groups", "different_regions",
      ])
  }

  @Test func descriptionsSayWhatIsWrong() {
    #expect(Set(Self.all.map(\.description)).count == Self.all.count)
    #expect(
      Self.all[12].description
        == "version 2 is old for this: the catalog is at version 3 and route 2 [\"m\", ∞) changed "
        + "since: look again and send the command with the version that you saw")
    #expect(
      Self.all[20].description
        == "route 1 [\"\", \"c\") and route 2 [\"m\", ∞) do not touch: between them lie "
        + "route 1 [\"\", \"c\") and at least 999 more; merge neighbours, from one to the next")
    #expect(
      Self.all[22].description
        == "route 1 [\"\", \"c\") is allowed anywhere, route 2 [\"m\", ∞) in eu-west: give both "
        + "the same regions first")
  }
}
