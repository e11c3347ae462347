import Catalog

/// A state without its routes: where in the log it is, and what its routes must add up to.
package struct StateHeader: Hashable, Sendable {
  package var catalog: CatalogID
  /// The last entry that was folded in, its hash and its time.
  package var position: LogPosition
  package var hash: EntryHash
  package var time: HybridTimestamp
  package var version: CatalogVersion
  package var nextRouteID: RouteID
  /// The digest of the whole state; see ``CatalogState/digest``.
  package var digest: StateDigest

  package init(
    catalog: CatalogID, position: LogPosition, hash: EntryHash, time: HybridTimestamp,
    version: CatalogVersion, nextRouteID: RouteID, digest: StateDigest
  ) {
    self.catalog = catalog
    self.position = position
    self.hash = hash
    self.time = time
    self.version = version
    self.nextRouteID = nextRouteID
    self.digest = digest
  }
}

extension CatalogState {
  /// A state that was taken over from elsewhere, to go on from with the entries after it. `routes`
  /// come in key order.
  ///
  /// - Throws: ``EvolveError`` unless the routes tile the keyspace and have the header's digest.
  /// - Complexity: O(*n*) in the number of routes.
  package init(restoring header: StateHeader, routes: some Sequence<Route>) throws(EvolveError) {
    // Half of all numbers are left to count on. The ids of routes are counted where they are given.
    guard header.position <= .last, header.version.rawValue <= header.position.rawValue,
      header.time.rawValue < .max
    else { throw .impossibleHeader }
    let table: RouteTable
    do {
      table = try RouteTable(
        version: header.version, nextRouteID: header.nextRouteID, routes: routes)
    } catch {
      throw .routesDoNotFit(error)
    }
    let digest = CatalogState.digest(of: table)
    guard digest == header.digest else {
      throw .wrongDigest(expected: header.digest, found: digest)
    }
    catalog = header.catalog
    self.routes = table
    appliedThrough = header.position
    lastHash = header.hash
    lastTime = header.time
    self.digest = digest
  }
}
