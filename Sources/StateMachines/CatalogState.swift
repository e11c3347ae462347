import Catalog

/// The catalog as the entries of its log made it: its routes, and the place in the log.
///
/// A value: a copy costs O(1) and shares what does not change. The same entries make equal states
/// everywhere, since nothing here reads a clock, a disk or a random source.
package struct CatalogState: Sendable {
  package let catalog: CatalogID
  package internal(set) var routes: RouteTable
  /// Members, regions and homes; most changes of it make no version.
  package internal(set) var membership = Membership()
  /// The position of the last entry that was folded in; ``LogPosition/zero`` before the first.
  package internal(set) var appliedThrough: LogPosition
  /// The hash of that entry; the catalog's genesis hash before the first.
  package internal(set) var lastHash: EntryHash
  /// The time of that entry.
  package internal(set) var lastTime: HybridTimestamp
  /// The sum of the records of the routes, of the membership and of the header.
  package internal(set) var digest: StateDigest

  /// The state before the first entry.
  package init(catalog: CatalogID) {
    self.catalog = catalog
    routes = RouteTable()
    appliedThrough = .zero
    lastHash = .genesis(of: catalog)
    lastTime = .zero
    digest = CatalogState.digest(of: routes, membership)
  }

  package var version: CatalogVersion { routes.version }

  /// What, with the routes, makes this state again; see ``init(restoring:routes:)``.
  package var header: StateHeader {
    StateHeader(
      catalog: catalog, position: appliedThrough, hash: lastHash, time: lastTime, version: version,
      nextRouteID: routes.nextRouteID, digest: digest, membership: membership.digest)
  }

  /// The digest of a state with these parts: `FORMAT.md` says of what records. O(1).
  static func digest(of routes: RouteTable, _ membership: Membership) -> StateDigest {
    digest(
      ofRoutes: routes.digest, version: routes.version, nextRouteID: routes.nextRouteID,
      membership.digest)
  }

  /// The digest of a state whose routes' records sum up to `routes`, and those of its membership to
  /// `membership`.
  static func digest(
    ofRoutes routes: StateDigest, version: CatalogVersion, nextRouteID: RouteID,
    _ membership: StateDigest = .zero
  ) -> StateDigest {
    withUnsafeTemporaryAllocation(byteCount: 17, alignment: 1) { record in
      record[0] = 0
      record.storeBytes(of: version.rawValue.littleEndian, toByteOffset: 1, as: UInt64.self)
      record.storeBytes(of: nextRouteID.rawValue.littleEndian, toByteOffset: 9, as: UInt64.self)
      var digest = routes
      digest += StateDigest(ofRecord: UnsafeRawBufferPointer(record))
      digest += membership
      return digest
    }
  }
}
