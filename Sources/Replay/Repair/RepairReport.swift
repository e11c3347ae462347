import Catalog

/// What a repair found, fetched and proved.
package struct RepairReport: Hashable, Sendable {
  /// Why the file of the log was of no use at all; nil when it could be read.
  package var lostFile: String?
  /// Entries that were missing or not what was written, ascending.
  package var damagedEntries: [ClosedRange<LogPosition>] = []
  /// What else was wrong with the log: an index, the note of its end, its base.
  package var otherDamage: String?
  /// Checkpoints that were damaged, and those that were made anew.
  package var damagedCheckpoints: [CatalogVersion] = []
  package var remadeCheckpoints: [CatalogVersion] = []
  /// Why the file of the checkpoints was of no use at all.
  package var lostCheckpoints: String?
  /// Entries that the peer gave, and their bytes.
  package var fetchedEntryCount: UInt64 = 0
  package var fetchedByteCount = 0
  /// Whether the state that the log begins after had to come from the peer.
  package var hasFetchedBase = false
  /// How many routes of that state the peer gave; the others could be read here.
  package var fetchedRouteCount: UInt64 = 0
  /// Whether only the peer says where the log ends: the folder's own note was lost.
  package var hasHeadOfPeer = false
  /// The damaged file, kept for those who look into it; nil where nothing was replaced.
  package var setAside: String?
  /// What the log was proven to hold in the end; nil for a dry run of a log that is damaged.
  package var summary: LogSummary?

  /// Whether nothing was wrong.
  package var isSound: Bool {
    lostFile == nil && damagedEntries.isEmpty && otherDamage == nil && damagedCheckpoints.isEmpty
      && lostCheckpoints == nil
  }

  mutating func add(damaged position: LogPosition) {
    // They come from the end to the beginning.
    if let first = damagedEntries.first, first.lowerBound == position.next {
      damagedEntries[0] = position...first.upperBound
    } else {
      damagedEntries.insert(position...position, at: 0)
    }
  }
}
