import Catalog
import StateMachines
import TestSupport
import Testing

@testable import CadastreClient

@Suite struct WatchedRoutesTests {
  private static let catalog = id(1)

  private static func id(_ byte: UInt8) -> CatalogID {
    guard let id = CatalogID(bytes: [UInt8](repeating: byte, count: 16)) else {
      preconditionFailure("sixteen bytes")
    }
    return id
  }

  /// Two routes, at a version.
  private func table(_ version: UInt64 = 1, group: UInt64 = 1) throws -> RouteTable {
    let stamp = (CatalogVersion(version), HybridTimestamp(version))
    let parts: [(UInt64, Key, Key?)] = [
      (1, .least, Key(unchecked: [77])), (2, Key(unchecked: [77]), nil),
    ]
    let routes = parts.map {
      Route(
        id: RouteID($0.0), span: KeySpan(unchecked: $0.1, $0.2), group: GroupID(group),
        version: stamp.0, changedAt: stamp.1)
    }
    return try RouteTable(
      version: CatalogVersion(version), nextRouteID: RouteID(3), routes: routes)
  }

  private func snapshot(_ table: RouteTable, end: Bool = true) -> [WatchEvent] {
    let routes = table.routes(overlapping: .all)
    return [
      .started(Self.catalog, table.version, reset: "new"),
      .snapshot(table.version, routes, end: nil),
    ]
      + (end
        ? [
          .snapshot(
            table.version, [],
            end: SnapshotEnd(
              routeCount: UInt64(routes.count), digest: .zero, routesDigest: table.digest))
        ] : [])
  }

  /// Version 2: the first route in another group.
  private func delta(_ table: RouteTable) -> (RouteDelta, RouteTable) {
    var route = table.routes(overlapping: .all)[0]
    route.group = GroupID(9)
    route.version = CatalogVersion(2)
    let delta = RouteDelta(
      from: table.version, to: CatalogVersion(2), removed: [], upserted: [route])
    var next = table
    try? next.apply(delta)
    return (delta, next)
  }

  private func mismatch(
    _ routes: inout WatchedRoutes, _ event: WatchEvent
  ) -> WatchMismatch? {
    do throws(WatchMismatch) {
      _ = try routes.take(event)
      return nil
    } catch { return error }
  }

  @Test func showsASnapshotOnceItIsWhole() throws {
    let table = try table()
    var routes = WatchedRoutes()
    let events = snapshot(table)
    for event in events.dropLast() { #expect(try !routes.take(event)) }
    #expect(routes.proven == nil && routes.resumption == nil)
    #expect(try routes.take(events[2]))
    #expect(routes.proven?.digest == table.digest)
    #expect(routes.resumption == CatalogVersion(1))
    #expect(routes.resets == 1)
  }

  @Test func aBrokenOffSnapshotIsDropped() throws {
    let table = try table()
    var routes = WatchedRoutes()
    for event in snapshot(table, end: false) { _ = try routes.take(event) }
    routes.disconnected()
    for event in snapshot(table) { _ = try routes.take(event) }
    #expect(routes.proven?.count == 2)
  }

  @Test func showsNoVersionBeforeItsDigest() throws {
    let table = try table()
    var routes = WatchedRoutes()
    for event in snapshot(table) { _ = try routes.take(event) }
    let (delta, next) = delta(table)
    #expect(try !routes.take(.delta(delta)))
    #expect(routes.proven?.version == CatalogVersion(1))
    // Cut off in between, it begins where it was proven.
    routes.disconnected()
    #expect(routes.resumption == CatalogVersion(1))
    #expect(try !routes.take(.started(Self.catalog, CatalogVersion(1), reset: nil)))
    #expect(try !routes.take(.delta(delta)))
    #expect(try routes.take(.digest(CatalogVersion(2), next.digest)))
    #expect(routes.proven?.digest == next.digest)
  }

  /// Whatever a wrong node tells, the routes stay what was proven, and are fetched anew.
  @Test func aWrongDigestKeepsWhatIsProven() throws {
    let table = try table()
    var routes = WatchedRoutes()
    for event in snapshot(table) { _ = try routes.take(event) }
    let (delta, _) = delta(table)
    _ = try routes.take(.delta(delta))
    #expect(
      mismatch(&routes, .digest(CatalogVersion(2), table.digest)) == .wrongDigest(CatalogVersion(2))
    )
    #expect(routes.proven?.digest == table.digest)
    #expect(routes.resumption == nil)
    let newer = try self.table(5, group: 4)
    for event in snapshot(newer) { _ = try routes.take(event) }
    #expect(routes.proven?.digest == newer.digest && routes.resets == 2)
  }

  @Test func refusesWhatWasNotPromised() throws {
    let table = try table(4)
    var routes = WatchedRoutes()
    for event in snapshot(table) { _ = try routes.take(event) }
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
    let gap = RouteDelta(
      from: CatalogVersion(6), to: CatalogVersion(7), removed: [], upserted: [])
    _ = mismatch(&routes, .started(Self.catalog, CatalogVersion(4), reset: nil))
    guard case .doesNotFit? = mismatch(&routes, .delta(gap)) else {
      Issue.record("a gap was taken")
      return
    }
    #expect(routes.proven?.version == CatalogVersion(4))
  }
}
