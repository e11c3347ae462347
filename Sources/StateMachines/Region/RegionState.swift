import Catalog

/// A region as the entries of its stream made it: the clocks of the groups that are at home there,
/// the transactions that are decided there, and the place in the stream.
///
/// A value. The same entries make equal states everywhere, since nothing here reads a clock, a disk
/// or a random source.
package struct RegionState: Sendable {
  package let catalog: CatalogID
  package let region: Region
  package internal(set) var ceilings: CeilingTable
  package internal(set) var transactions: TransactionTable
  /// The position of the last entry that was folded in; ``LogPosition/zero`` before the first.
  package internal(set) var appliedThrough: LogPosition
  /// The hash of that entry; the stream's genesis hash before the first.
  package internal(set) var lastHash: EntryHash
  /// The time of that entry.
  package internal(set) var lastTime: HybridTimestamp

  /// The state before the first entry.
  package init(catalog: CatalogID, region: Region) {
    self.catalog = catalog
    self.region = region
    ceilings = CeilingTable()
    transactions = TransactionTable()
    appliedThrough = .zero
    lastHash = .genesis(of: catalog, region: region)
    lastTime = .zero
  }

  /// The sum of the records of the clocks and of the transactions.
  package var digest: StateDigest {
    var digest = ceilings.digest
    digest += transactions.digest
    return digest
  }

  /// Where the state is in its stream, and what its records must add up to.
  package var header: RegionHeader {
    RegionHeader(
      catalog: catalog, region: region, position: appliedThrough, hash: lastHash, time: lastTime,
      digest: digest)
  }

  /// Tells `body` every record, clocks by group, then transactions by id. O(*n*).
  package func forEachRecord<Failure: Error>(
    _ body: (RegionRecord) throws(Failure) -> Void
  ) throws(Failure) {
    for entry in ceilings.entries { try body(entry.record) }
    try transactions.forEach { (transaction) throws(Failure) in try body(transaction.record) }
  }

  /// How many records there are.
  package var recordCount: Int { ceilings.entries.count + transactions.count }
}

/// A region's state without its records.
package struct RegionHeader: Hashable, Sendable {
  package var catalog: CatalogID
  package var region: Region
  /// The last entry that was folded in, its hash and its time.
  package var position: LogPosition
  package var hash: EntryHash
  package var time: HybridTimestamp
  /// The digest of the whole state.
  package var digest: StateDigest

  package init(
    catalog: CatalogID, region: Region, position: LogPosition, hash: EntryHash,
    time: HybridTimestamp, digest: StateDigest
  ) {
    self.catalog = catalog
    self.region = region
    self.position = position
    self.hash = hash
    self.time = time
    self.digest = digest
  }
}

extension RegionState {
  /// A state that was taken over from elsewhere, to go on from with the entries after it. `records`
  /// come in the order in which ``forEachRecord(_:)`` tells them.
  ///
  /// - Throws: ``EvolveError`` unless they have that order, and the header's digest.
  /// - Complexity: O(*n* log *n*).
  package init(
    restoring header: RegionHeader, records: some Sequence<RegionRecord>
  ) throws(EvolveError) {
    guard header.position <= .last, header.time.rawValue < .max else { throw .impossibleHeader }
    self.init(catalog: header.catalog, region: header.region)
    var entries: [CeilingTable.Entry] = []
    var lastTransaction: TransactionID?
    for record in records {
      switch record {
      case .clocks(let groups, let clock):
        guard lastTransaction == nil else { throw .recordsDoNotFit }
        entries.append(CeilingTable.Entry(groups: groups, clock: clock))
      case .transaction(let transaction):
        if let lastTransaction, transaction.id <= lastTransaction { throw .recordsDoNotFit }
        lastTransaction = transaction.id
        transactions.put(transaction)
      }
    }
    guard let ceilings = CeilingTable(entries) else { throw .recordsDoNotFit }
    self.ceilings = ceilings
    guard digest == header.digest else {
      throw .wrongDigest(expected: header.digest, found: digest)
    }
    appliedThrough = header.position
    lastHash = header.hash
    lastTime = header.time
  }
}
