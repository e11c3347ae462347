import Catalog

extension CeilingTable.Entry {
  var record: RegionRecord { .clocks(groups, clock) }

  /// The digest of the state that has this entry alone.
  var recordDigest: StateDigest { record.digest }
}

extension Transaction {
  var record: RegionRecord { .transaction(self) }

  /// The digest of the state that has this transaction alone.
  var recordDigest: StateDigest { record.digest }
}

extension RegionRecord {
  fileprivate var digest: StateDigest { bytes.withUnsafeBytes { StateDigest(ofRecord: $0) } }
}
