import Catalog
import StateMachines
import TestSupport
import Testing

@testable import CadastreClient

@Suite struct FilteredRoutesTests {
  private static let catalog = id(1)
  private static let span = WatchFilter.span(KeySpan(unchecked: Key("c"), Key("p")))

  private static func id(_ byte: UInt8) -> CatalogID {
    guard let id = CatalogID(bytes: [UInt8](repeating: byte, count: 16)) else {
      preconditionFailure("sixteen bytes")
    }
    return id
  }

  private func route(_ id: UInt64, _ lower: String, _ upper: String?, version: UInt64 = 1) -> Route
  {
    Route(
      id: RouteID(id), span: KeySpan(unchecked: Key(lower), upper.map { Key($0) }),
      group: GroupID(1), version: CatalogVersion(version), changedAt: HybridTimestamp(version))
  }

  private func delta(_ from: UInt64, _ to: UInt64, _ upserted: [Route]) -> WatchEvent {
    .delta(
      RouteDelta(
        from: CatalogVersion(from), to: CatalogVersion(to), removed: [], upserted: upserted))
  }

  private func progress(_ version: UInt64) -> WatchEvent {
    .progress(
      ReadStamp(version: CatalogVersion(version), servedAtMilliseconds: 0, staleness: nil))
  }

  /// Routes that were taken over at version 1.
  private func started() throws -> FilteredRoutes {
    var routes = FilteredRoutes(Self.span)
    #expect(routes.resumption == nil && routes.current == nil)
    #expect(try !routes.take(.started(Self.catalog, CatalogVersion(1), reset: "new")))
    #expect(
      try !routes.take(.snapshot(CatalogVersion(1), [route(1, "", "g")], end: nil)))
    #expect(
      try routes.take(
        .snapshot(
          CatalogVersion(1), [route(2, "g", nil)], end: SnapshotEnd(routeCount: 2, digest: .zero))))
    return routes
  }

  private func mismatch(_ routes: inout FilteredRoutes, _ event: WatchEvent) -> WatchMismatch? {
    do throws(WatchMismatch) {
      _ = try routes.take(event)
      return nil
    } catch { return error }
  }

  @Test func showsVersionsAsTheyAreTold() throws {
    var routes = try started()
    #expect(routes.current?.routeCount == 2 && routes.resets == 1)
    // Versions 2 to 4 changed nothing here.
    #expect(try routes.take(progress(4)))
    #expect(try !routes.take(progress(4)))
    #expect(routes.resumption == CatalogVersion(4))
    #expect(
      try routes.take(
        delta(4, 5, [route(2, "g", "k", version: 5), route(3, "k", nil, version: 5)])))
    #expect(routes.current?.version == CatalogVersion(5))
    #expect(routes.current?.route(containing: Key("n"))?.id == RouteID(3))
    // Cut off and resumed, it goes on from there.
    routes.disconnected()
    #expect(try !routes.take(.started(Self.catalog, CatalogVersion(5), reset: nil)))
    #expect(try routes.take(progress(6)))
  }

  /// One that knows no filters sends everything, each version and its digest.
  @Test func aNodeThatDoesNotFilterDoesToo() throws {
    var routes = try started()
    #expect(try routes.take(delta(1, 2, [route(2, "g", "q"), route(4, "q", nil, version: 2)])))
    #expect(try !routes.take(.digest(CatalogVersion(2), .zero)))
    #expect(routes.current?.routeCount == 2 && routes.current?.route(id: RouteID(4)) == nil)
  }

  @Test func whatDoesNotFitIsFetchedAnew() throws {
    var routes = try started()
    let gap = delta(1, 2, [route(2, "h", nil, version: 2)])
    #expect(
      mismatch(&routes, gap) == .doesNotFit(CatalogVersion(2), .leavesGap(at: Key("g"))))
    #expect(routes.current?.version == CatalogVersion(1))
    #expect(routes.resumption == nil)
    _ = try routes.take(.started(Self.catalog, CatalogVersion(3), reset: "new"))
    // Not before all of it is there.
    #expect(
      mismatch(&routes, delta(3, 4, [])) == .startedElsewhere(CatalogVersion(4)))
    #expect(
      mismatch(
        &routes,
        .snapshot(
          CatalogVersion(3), [route(2, "", nil)], end: SnapshotEnd(routeCount: 3, digest: .zero)))
        == .incomplete(CatalogVersion(3)))
    #expect(routes.current?.version == CatalogVersion(1))
    _ = try routes.take(.started(Self.catalog, CatalogVersion(3), reset: "new"))
    #expect(
      try routes.take(
        .snapshot(
          CatalogVersion(3), [route(2, "", nil)], end: SnapshotEnd(routeCount: 1, digest: .zero))))
    #expect(routes.resumption == CatalogVersion(3) && routes.resets == 2)
  }

  @Test func refusesWhatWasNotPromised() throws {
    var routes = try started()
    _ = try routes.take(progress(4))
    #expect(
      mismatch(&routes, .started(Self.id(2), CatalogVersion(4), reset: nil))
        == .otherCatalog(expected: Self.catalog, found: Self.id(2)))
    #expect(
      mismatch(&routes, .started(Self.catalog, CatalogVersion(3), reset: "older"))
        == .wentBack(CatalogVersion(4), to: CatalogVersion(3)))
    #expect(
      mismatch(&routes, .started(Self.catalog, CatalogVersion(3), reset: nil))
        == .startedElsewhere(CatalogVersion(3)))
    #expect(
      mismatch(&routes, .snapshot(CatalogVersion(4), [], end: nil))
        == .unexpectedSnapshot(CatalogVersion(4)))
    guard case .doesNotFit? = mismatch(&routes, delta(6, 7, [])) else {
      Issue.record("a gap was taken")
      return
    }
    #expect(routes.current?.version == CatalogVersion(4))
  }
}
