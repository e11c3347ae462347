import Catalog

/// On what terms the stream of a region is led from a folder: kept beside the stream, since neither
/// is an event of it.
package struct RegionLeadTerms: Hashable, Sendable {
  /// The region's epoch, by the catalog, when the folder began to lead. Once the region was lost
  /// after that, somebody else may lead the stream, and nobody leads from here any more.
  package var epoch: UInt64
  /// No timestamp below it is issued by leads that begin here: what the leader before a promotion may
  /// have issued in entries that are not known here. Zero where the stream began here.
  package var floor: HybridTimestamp

  package init(epoch: UInt64, floor: HybridTimestamp) {
    self.epoch = epoch
    self.floor = floor
  }

  /// The fields in order, numbers little-endian.
  var bytes: [UInt8] {
    withUnsafeBytes(of: epoch.littleEndian, Array.init)
      + withUnsafeBytes(of: floor.rawValue.littleEndian, Array.init)
  }

  /// Reads what ``bytes`` writes; nil when it is anything else.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count == 16,
      let epoch = UInt64(stored: UnsafeRawBufferPointer(rebasing: bytes[..<8])),
      let floor = UInt64(stored: UnsafeRawBufferPointer(rebasing: bytes[8...]))
    else { return nil }
    self.init(epoch: epoch, floor: HybridTimestamp(floor))
  }
}

extension RegionEventLog {
  /// Whether the log is a mirror of the one that the region's leader writes.
  package func isMirror() throws(StoreError) -> Bool { try log.isMirror() }

  /// Marks a log as a mirror. Durable on return.
  package func becomeMirror() throws(StoreError) { try log.setMirror(true) }

  /// On what terms the stream is led from here; nil when it never was.
  package func leadTerms() throws(StoreError) -> RegionLeadTerms? {
    try log.environment.read { transaction throws(StoreError) in
      try transaction.value(of: LogTables.MetaKey.lead, in: log.tables.meta) {
        (bytes) throws(StoreError) in
        guard let terms = RegionLeadTerms(bytes) else {
          throw .damaged(.zero, .index("the note of who may lead the stream is malformed"))
        }
        return terms
      }
    }
  }

  /// Notes that the log is that of a member who shares the stream of this name, on these terms. In one
  /// transaction, durable on return.
  package func share(_ name: String, on terms: RegionLeadTerms) throws(StoreError) {
    try log.checkWritable()
    try log.environment.write { transaction throws(StoreError) in
      try log.put(LogKeeper.cluster(name), in: transaction)
      try put(terms, in: transaction)
    }
  }

  private func put(
    _ terms: RegionLeadTerms, in transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) {
    try terms.bytes.withRawBytes { (bytes) throws(StoreError) in
      try transaction.put(bytes, for: LogTables.MetaKey.lead, in: log.tables.meta)
    }
  }

  /// Lets the stream be led from here on these terms, a mirror too. In one transaction, durable on
  /// return.
  package func lead(on terms: RegionLeadTerms) throws(StoreError) {
    try log.checkWritable()
    try log.environment.write { transaction throws(StoreError) in
      try transaction.remove(LogTables.MetaKey.role, from: log.tables.meta)
      try put(terms, in: transaction)
    }
  }
}
