import Catalog
import StateMachines

/// What the writer of a region's stream needs of a log, whatever it is kept in.
///
/// The log begins with the stream's first entry, or after a *base*: the region's state there. An
/// append happens whole or not at all, and is durable on return. All operations are synchronous.
package protocol RegionLog: Sendable {
  var catalog: CatalogID { get }
  var region: Region { get }

  /// The position of the first entry that is kept, or that the next append gets.
  func firstPosition() throws(StoreError) -> LogPosition

  /// The position of the last entry; that of the base, or zero, when there are none.
  func lastPosition() throws(StoreError) -> LogPosition

  /// What the log says that it ends with, whatever its entries say; nil before the first write.
  func writtenHead() throws(StoreError) -> (position: LogPosition, hash: EntryHash)?

  /// Entries from a position on, decoded, at most so many.
  func entries(
    from start: LogPosition, maxCount: Int, maxBytes: Int
  ) throws(StoreError) -> [EncodedEntry]

  /// The entry at a position; nil when there is none.
  func entry(at position: LogPosition) throws(StoreError) -> EncodedEntry?

  /// How many positions back a command's id is known, whether its entry is still there or not.
  var dedupeWindow: UInt64 { get }

  /// The command that made the entry at a position, whether the log still has the entry or not; nil
  /// when it is behind the dedupe window.
  func knownCommand(at position: LogPosition) throws(StoreError) -> KnownCommand?

  /// Lends position and id of the commands within the dedupe window, from the oldest on, until
  /// `body` returns false.
  func scanCommands(_ body: (LogPosition, CommandID) -> Bool) throws(StoreError)

  /// Adds entries, all or none: durable on return. There is one of `fingerprints` for each entry, by
  /// its command's id.
  func append(
    _ entries: [EncodedEntry], fingerprints: [CommandID: ChangeFingerprint]
  ) throws(StoreError)

  /// Adds entries that another log has already: all or none, durable on return.
  func store(_ entries: [EncodedEntry]) throws(StoreError)

  /// Makes sure that something may be decided here, and appended, as far as that is known before it is
  /// tried.
  func checkDecides() throws(StoreError)

  /// Lets the writer go on after `state`, which was made of the whole log.
  func goOn(after state: RegionState)

  /// The state that the log begins after; nil when it begins with the stream's first entry.
  func base() throws(StoreError) -> RegionState?

  /// Lets the log begin after a state that it has an entry for, whole or not at all: durable on
  /// return. The entries up to there are no longer the log's, and are removed by
  /// ``removeTrimmed(limit:)``.
  func begin(after state: RegionState) throws(StoreError)

  /// The commands that the log knows up to a position, for a log that goes on from there.
  func commandWindow(through last: LogPosition) throws(StoreError) -> CommandWindow

  /// Replaces all that the log holds with a state to go on from, and the commands that are known up to
  /// there, whole or not at all: durable on return.
  ///
  /// - Throws: ``StoreError/otherCatalog(expected:found:)`` when the state is another catalog's.
  func install(base state: RegionState, commands: CommandWindow) throws(StoreError)

  /// Removes entries from before the log's beginning, at most so many.
  ///
  /// - Returns: How many were removed; 0 when there are none left.
  func removeTrimmed(limit: Int) throws(StoreError) -> Int
}

extension RegionLog {
  /// A log that nobody shares is the only one that entries are added to.
  package func store(_ entries: [EncodedEntry]) throws(StoreError) {
    try append(entries, fingerprints: [:])
  }

  package func checkDecides() throws(StoreError) {}
}
