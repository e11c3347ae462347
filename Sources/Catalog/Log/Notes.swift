/// A commitment to a state of the catalog and to the log that made it, written into the log itself:
/// what proofs of single routes rest on.
package struct CatalogCommitment: Hashable, Sendable {
  /// The version that is committed to.
  package var version: CatalogVersion
  /// The last entry of the state of that version that is committed to.
  package var position: LogPosition
  /// The root of the Merkle tree over the routes; see ``RouteCommitmentTree``.
  package var routesRoot: MerkleHash
  /// The root of the Merkle tree over the hashes of the entries up to ``position``; see
  /// ``LogFrontier``.
  package var logRoot: MerkleHash

  package init(
    version: CatalogVersion, position: LogPosition, routesRoot: MerkleHash, logRoot: MerkleHash
  ) {
    self.version = version
    self.position = position
    self.routesRoot = routesRoot
    self.logRoot = logRoot
  }
}

/// Says that the log's first entries were removed, by whom and by what policy.
package struct TrimMarker: Hashable, Sendable {
  /// The last entry that is gone, and its hash.
  package var through: LogPosition
  package var hash: EntryHash
  /// The version of the state there, and its digest.
  package var version: CatalogVersion
  package var digest: StateDigest
  /// The policy that asked for it, in words; at most ``LogEntry/maximumTextByteCount`` bytes.
  package var policy: String
  package var publicKey: PublicKey
  /// Signs all of the above; see ``TrimMarker/isSigned(for:)``.
  package var signature: Signature

  package init(
    through: LogPosition, hash: EntryHash, version: CatalogVersion, digest: StateDigest,
    policy: String, publicKey: PublicKey, signature: Signature
  ) {
    self.through = through
    self.hash = hash
    self.version = version
    self.digest = digest
    self.policy = policy
    self.publicKey = publicKey
    self.signature = signature
  }
}

extension Event {
  /// Whether the event makes, changes or ends routes. What does not is a note: an entry of notes
  /// alone leaves the catalog's version as it was.
  package var changesRoutes: Bool {
    switch self {
    case .routesBootstrapped, .routeSplit, .routesMerged, .routeMoved, .routeStateChanged,
      .allowedRegionsChanged:
      true
    case .catalogCommitted, .logTrimmed, .region, .membership:
      false
    }
  }
}

extension LogEntry {
  /// Whether the entry makes a version: one of its events changes routes.
  package var changesRoutes: Bool { events.contains(where: \.changesRoutes) }
}

extension Event {
  /// The kind of stream that has such events.
  package var stream: StreamKind {
    if case .region = self { return .region }
    return .catalog
  }
}
