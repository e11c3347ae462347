import Catalog

/// Where a log ends.
package struct LogTail: Hashable, Sendable {
  /// The last entry's position; that of the base, or zero, when there are no entries.
  package var position: LogPosition
  /// The last entry's hash, or what the next entry names otherwise.
  package var hash: EntryHash
  package var version: CatalogVersion

  package init(position: LogPosition, hash: EntryHash, version: CatalogVersion) {
    self.position = position
    self.hash = hash
    self.version = version
  }

  /// Where a log ends with an entry.
  package init(endingWith last: EncodedEntry) {
    self.init(position: last.entry.position, hash: last.hash, version: last.entry.version)
  }
}
