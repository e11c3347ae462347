import Catalog

/// Makes the routes that a filter lets through of what a watch tells. Nodes send no digests of those:
/// what they tell is shown once each version is whole, if it fits what was there.
package struct FilteredRoutes: Sendable {
  package let filter: WatchFilter
  /// Whose routes these are, as the first watch said.
  package private(set) var catalog: CatalogID?
  /// The routes as of the last version that was told whole.
  package private(set) var shown: SelectedRoutes?
  /// How often the routes were taken over whole.
  package private(set) var resets: UInt64 = 0
  private var snapshot: [Route]?
  private var isDoubtful = false

  package init(_ filter: WatchFilter) { self.filter = filter }

  private mutating func doubt(_ mismatch: WatchMismatch) -> WatchMismatch {
    isDoubtful = true
    return mismatch
  }

  private mutating func finishSnapshot(
    at version: CatalogVersion, _ end: SnapshotEnd
  ) throws(WatchMismatch) {
    let routes = snapshot ?? []
    snapshot = nil
    guard end.routeCount == UInt64(routes.count) else { throw .incomplete(version) }
    do throws(RouteDeltaError) {
      shown = try SelectedRoutes(filter, version: version, routes: routes)
    } catch {
      throw .doesNotFit(version, error)
    }
    isDoubtful = false
    resets += 1
  }
}

extension FilteredRoutes: RoutesInStep {
  package var resumption: CatalogVersion? { isDoubtful ? nil : shown?.version }

  package var current: CatalogSnapshot? { shown.map(CatalogSnapshot.init) }

  package mutating func disconnected() { snapshot = nil }

  package mutating func take(_ event: WatchEvent) throws(WatchMismatch) -> Bool {
    switch event {
    case .started(let catalog, let version, let reset):
      if let known = self.catalog, known != catalog {
        throw .otherCatalog(expected: known, found: catalog)
      }
      self.catalog = catalog
      if reset != nil {
        if let shown, version < shown.version { throw .wentBack(shown.version, to: version) }
        snapshot = []
      } else {
        guard shown?.version == version else { throw .startedElsewhere(version) }
        snapshot = nil
      }
      return false
    case .snapshot(let version, let routes, let end):
      guard snapshot != nil else { throw .unexpectedSnapshot(version) }
      snapshot? += routes
      guard let end else { return false }
      try finishSnapshot(at: version, end)
      return true
    case .delta(let delta):
      guard shown != nil, snapshot == nil else { throw .startedElsewhere(delta.to) }
      do throws(RouteDeltaError) {
        try shown?.apply(delta)
      } catch {
        throw doubt(.doesNotFit(delta.to, error))
      }
      return true
    case .digest:
      // Of a node that does not filter: it is of more routes than are here.
      return false
    case .progress(let stamp):
      guard snapshot == nil, let version = shown?.version, stamp.version > version else {
        return false
      }
      shown?.reached(stamp.version)
      return true
    }
  }
}
