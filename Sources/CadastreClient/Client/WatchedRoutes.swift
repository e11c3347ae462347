import Catalog

/// Makes tables of what a watch tells, and shows none that a digest has not vouched for.
///
/// Drop it into a new watch with ``disconnected()``; it goes on from the last proven version.
package struct WatchedRoutes: RoutesInStep {
  /// Whose routes these are, as the first watch said.
  package private(set) var catalog: CatalogID?
  /// The last version that is proven to be what the node had.
  package private(set) var proven: RouteTable?
  /// How often the routes were taken over whole.
  package private(set) var resets: UInt64 = 0
  /// What was told since, to be proven by the next digest.
  private var told: RouteTable?
  private var snapshot: [Route]?
  private var isDoubtful = false

  package init() {}

  package var resumption: CatalogVersion? { isDoubtful ? nil : proven?.version }

  package var current: CatalogSnapshot? { proven.map(CatalogSnapshot.init) }

  package mutating func disconnected() {
    (told, snapshot) = (proven, nil)
  }

  package mutating func take(_ event: WatchEvent) throws(WatchMismatch) -> Bool {
    switch event {
    case .started(let catalog, let version, let reset):
      if let known = self.catalog, known != catalog {
        throw .otherCatalog(expected: known, found: catalog)
      }
      self.catalog = catalog
      if reset != nil {
        if let proven, version < proven.version { throw .wentBack(proven.version, to: version) }
        snapshot = []
      } else {
        guard let proven, proven.version == version else { throw .startedElsewhere(version) }
        (told, snapshot) = (proven, nil)
      }
      return false
    case .snapshot(let version, let routes, let end):
      guard snapshot != nil else { throw .unexpectedSnapshot(version) }
      snapshot? += routes
      guard let end else { return false }
      try finishSnapshot(at: version, end)
      return true
    case .delta(let delta):
      guard told != nil else { throw .startedElsewhere(delta.to) }
      do throws(RouteDeltaError) {
        try told?.apply(delta)
      } catch {
        isDoubtful = true
        throw .doesNotFit(delta.to, error)
      }
      return false
    case .digest(let version, let digest):
      guard let told, told.version == version, told.digest == digest else {
        isDoubtful = true
        throw .wrongDigest(version)
      }
      proven = told
      return true
    case .progress:
      return false
    }
  }

  private mutating func finishSnapshot(
    at version: CatalogVersion, _ end: SnapshotEnd
  ) throws(WatchMismatch) {
    let routes = snapshot ?? []
    snapshot = nil
    guard let digest = end.routesDigest else { throw .noDigest }
    let last = routes.map(\.id).max()?.rawValue ?? 0
    guard end.routeCount == UInt64(routes.count), last < .max,
      let table = try? RouteTable(
        version: version, nextRouteID: RouteID(last + 1), routes: routes), table.digest == digest
    else { throw .wrongDigest(version) }
    (proven, told, isDoubtful) = (table, table, false)
    resets += 1
  }
}

/// Why a watch is not gone on with.
package enum WatchMismatch: Error, Equatable, Sendable, CustomStringConvertible {
  case otherCatalog(expected: CatalogID, found: CatalogID)
  /// The node has an older version than is here, and does not know this one.
  case wentBack(CatalogVersion, to: CatalogVersion)
  /// It went on from another version than was asked for.
  case startedElsewhere(CatalogVersion)
  case unexpectedSnapshot(CatalogVersion)
  case doesNotFit(CatalogVersion, RouteDeltaError)
  /// A snapshot with other routes than were announced.
  case incomplete(CatalogVersion)
  case wrongDigest(CatalogVersion)
  /// The node is of a release that sends no digests of routes.
  case noDigest

  package var description: String {
    switch self {
    case .otherCatalog(let expected, let found):
      "the node has catalog \(found), not \(expected): take it off the list of nodes"
    case .wentBack(let version, let found):
      "the node is at version \(found) and knows no version \(version), which was seen before: "
        + "if the catalog was restored to an earlier time, make a new client"
    case .startedElsewhere(let version):
      "the node went on from version \(version), which was not asked for"
    case .unexpectedSnapshot(let version):
      "the node sent a snapshot of version \(version) that it had not announced"
    case .doesNotFit(let version, let error):
      "version \(version) does not fit the one before: \(error)"
    case .incomplete(let version):
      "the snapshot of version \(version) has more or fewer routes than the node says it has"
    case .wrongDigest(let version):
      "the routes of version \(version) do not add up to what the node has: they are fetched anew"
    case .noDigest:
      "the node sends no digests of routes: upgrade it"
    }
  }
}
