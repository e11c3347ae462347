import Catalog

/// What a log was proven to hold.
package struct LogSummary: Hashable, Sendable {
  package var catalog: CatalogID
  /// The first entry and the last; the positions before and at the base when there are none.
  package var first: LogPosition
  package var last: LogPosition
  /// The hash of the last entry: who notes it can tell later that the record was only added to.
  package var headHash: EntryHash
  package var headTime: HybridTimestamp
  package var version: CatalogVersion
  package var digest: StateDigest
  package var entryCount: UInt64 = 0
  package var eventCount: UInt64 = 0
  /// The bytes of all entries.
  package var byteCount: UInt64 = 0
  package var routeCount = 0
  /// The checkpoints that were read in full and agree with the log.
  package var checkpointCount = 0
  /// Checkpoints of another history, or from before the log begins, which nothing here vouches for.
  package var foreignCheckpointCount = 0
  /// The commitments whose roots are those of the routes and the entries.
  package var commitmentCount = 0
  /// Commitments to what came before the log begins: their roots cannot be computed any more.
  package var uncheckedCommitmentCount = 0
  /// The markers of trims in the log, whose signatures hold.
  package var markers: [TrimMarker] = []

  package init(
    catalog: CatalogID, first: LogPosition, last: LogPosition, headHash: EntryHash,
    headTime: HybridTimestamp, version: CatalogVersion, digest: StateDigest
  ) {
    self.catalog = catalog
    (self.first, self.last) = (first, last)
    (self.headHash, self.headTime) = (headHash, headTime)
    (self.version, self.digest) = (version, digest)
  }

  /// What a keeper signs: that the log was proven and ends like this. The ASCII bytes
  /// `cadastre/summary/1`, the catalog's id, u64 position, hash, u64 time, u64 version, digest.
  package var signedMessage: [UInt8] {
    func number(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.littleEndian, Array.init) }
    return Array("cadastre/summary/1".utf8) + catalog.bytes + number(last.rawValue)
      + headHash.bytes + number(headTime.rawValue) + number(version.rawValue) + digest.bytes
  }
}
