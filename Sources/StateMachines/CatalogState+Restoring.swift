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
  /// The part of the digest that its membership has; zero when there is none.
  package var membership: StateDigest

  package init(
    catalog: CatalogID, position: LogPosition, hash: EntryHash, time: HybridTimestamp,
    version: CatalogVersion, nextRouteID: RouteID, digest: StateDigest,
    membership: StateDigest = .zero
  ) {
    self.catalog = catalog
    self.position = position
    self.hash = hash
    self.time = time
    self.version = version
    self.nextRouteID = nextRouteID
    self.digest = digest
    self.membership = membership
  }
}

extension CatalogState {
  /// A state that was taken over from elsewhere, to go on from with the entries after it. `routes`
  /// come in key order.
  ///
  /// `membership` has the bytes of its records; none where there is none.
  ///
  /// - Throws: ``EvolveError`` unless the routes tile the keyspace and all has the header's digest.
  /// - Complexity: O(*n*) in the number of routes.
  package init(
    restoring header: StateHeader, routes: some Sequence<Route>, membership: [UInt8] = []
  ) throws(EvolveError) {
    guard header.isPossible else { throw .impossibleHeader }
    let table: RouteTable
    do {
      table = try RouteTable(
        version: header.version, nextRouteID: header.nextRouteID, routes: routes)
    } catch {
      throw .routesDoNotFit(error)
    }
    try self.init(restoring: header, table: table, membership: membership)
  }

  /// A state whose table is there already, as that of a checkpoint is: `routes` are taken for what
  /// has the digest that ``StateHeader/routesDigest`` says. O(1).
  ///
  /// - Throws: ``EvolveError`` unless header and table go together.
  package init(
    restoring header: StateHeader, table: RouteTable, membership: [UInt8] = []
  ) throws(EvolveError) {
    guard header.isPossible, table.version == header.version,
      table.nextRouteID == header.nextRouteID
    else { throw .impossibleHeader }
    let members: Membership
    do {
      members = try Membership(decoding: membership, in: table.store)
    } catch {
      throw .membershipUnreadable(error)
    }
    guard members.digest == header.membership else {
      throw .wrongDigest(expected: header.membership, found: members.digest)
    }
    let digest = CatalogState.digest(of: table, members)
    guard digest == header.digest || !Guard.digest.isOn else {
      throw .wrongDigest(expected: header.digest, found: digest)
    }
    self.membership = members
    catalog = header.catalog
    routes = table
    appliedThrough = header.position
    lastHash = header.hash
    lastTime = header.time
    self.digest = digest
  }
}

extension StateHeader {
  /// Whether there can be a state with such numbers.
  // Half of all numbers are left to count on. The ids of routes are counted where they are given.
  fileprivate var isPossible: Bool {
    position <= .last && version.rawValue <= position.rawValue && time.rawValue < .max
  }

  /// The sum of the records of the state's routes, without those of the header and the membership.
  package var routesDigest: StateDigest {
    var routes = digest
    routes -= CatalogState.digest(ofRoutes: .zero, version: version, nextRouteID: nextRouteID)
    routes -= membership
    return routes
  }
}
