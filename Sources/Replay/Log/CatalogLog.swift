import Catalog
import StateMachines

/// What the writer, the replayer and those who follow need of a log, whatever it is kept in.
///
/// A log holds the entries of one catalog in the order of their positions. It begins with the first
/// entry, or after a *base*: a state that was taken over from elsewhere. An append happens whole or
/// not at all, and is durable on return. ``EventLog`` is the one on LMDB.
///
/// All operations are synchronous. Reads are snapshots and run beside the one writer.
package protocol CatalogLog: StreamLog {
  var catalog: CatalogID { get }
  /// How many positions back a command's id is known, whether its entry is still there or not.
  var dedupeWindow: UInt64 { get }
  /// What this reader reads beyond format 1.
  var reading: CapabilitySet { get }

  /// The position of the last entry; that of the base, or zero, when there are none. Proves nothing.
  func lastPosition() throws(StoreError) -> LogPosition

  /// Where the log ends, proven.
  func tail() throws(StoreError) -> LogTail

  /// What the log says that it ends with, whatever its entries say; nil before the first write.
  func writtenHead() throws(StoreError) -> LogTail?

  /// Adds entries that were decided here, all or none: durable on return. There is one of
  /// `fingerprints` for each entry of a command, by the command's id.
  ///
  /// - Throws: ``StoreError/gap(expected:found:)`` and ``Damage/brokenChain`` unless they continue
  ///   the log. After any other error ``tail()`` tells what the log holds: nearly always what it did.
  func append(
    _ entries: [EncodedEntry], fingerprints: [CommandID: ChangeFingerprint]
  ) throws(StoreError)

  /// Adds entries that another log has already: all or none, durable on return, and with the errors of
  /// ``append(_:fingerprints:)``.
  func store(_ entries: [EncodedEntry]) throws(StoreError)

  /// Makes sure that something may be decided here, and appended, as far as that is known before it is
  /// tried.
  func checkDecides() throws(StoreError)

  /// Lets the writer go on after `state`, which was made of the whole log.
  func goOn(after state: CatalogState)

  /// The state that the log begins after; nil when it begins with the catalog's first entry.
  func base() throws(StoreError) -> CatalogState?

  /// Replaces all that the log holds with a state to go on from, and the commands that are known up to
  /// there, whole or not at all: durable on return.
  ///
  /// - Throws: ``StoreError/otherCatalog(expected:found:)`` when the state is another catalog's.
  func install(base state: CatalogState, commands: CommandWindow) throws(StoreError)

  /// The command that made the entry at a position, whether the log still has the entry or not; nil
  /// when it is behind the dedupe window.
  ///
  /// - Throws: ``StoreError/damaged(_:_:)`` when an entry that the log should have is missing.
  func knownCommand(at position: LogPosition) throws(StoreError) -> KnownCommand?

  /// The commands that are known up to a position, for a log that goes on from there.
  func commandWindow(through last: LogPosition) throws(StoreError) -> CommandWindow

  /// Lends position and id of the commands within the dedupe window, from the oldest on, until
  /// `body` returns false.
  func scanCommands(_ body: (LogPosition, CommandID) -> Bool) throws(StoreError)

  /// What the log remembers of what was asked for by the commands of `entries`, which are its own
  /// and follow one another.
  func fingerprints(
    of entries: [EncodedEntry]
  ) throws(StoreError) -> [CommandID: ChangeFingerprint]

  /// The state to start from for one at `end` (nil: the last entry): that of a checkpoint which the
  /// log agrees with, where it knows of any, else what the log begins after.
  func startingPoint(
    in checkpoints: CheckpointStore?, through end: LogPosition?, history: UInt64?
  ) throws(StoreError) -> StartingPoint

  /// Keeps the bytes of a poison entry for those who look into it, and says where.
  func quarantine(_ poison: PoisonEntry, bytes: [UInt8]) -> PoisonEntry
}

extension CatalogLog {
  /// The state before the log's first entry: the base, or that of an empty catalog.
  package func start() throws(StoreError) -> CatalogState {
    if let base = try base() { return base }
    return CatalogState(catalog: catalog)
  }

  /// A log without checkpoints begins where it begins.
  package func startingPoint(
    in checkpoints: CheckpointStore?, through end: LogPosition?, history: UInt64?
  ) throws(StoreError) -> StartingPoint {
    StartingPoint(state: try start())
  }

  /// That `state`, which was made of the whole log, is the one after the entry that was written last;
  /// not looked at when the log has grown since.
  func checkHead(of state: CatalogState) throws(StoreError) {
    guard let head = try writtenHead() else {
      // Every write leaves the note.
      let last = try lastPosition()
      guard try last < firstPosition() else {
        throw .damaged(last, .index("the note of what was written last is missing"))
      }
      return
    }
    if head.position > state.appliedThrough, try lastPosition() > state.appliedThrough { return }
    guard head.position == state.appliedThrough, head.hash == state.lastHash else {
      throw .damaged(state.appliedThrough, .notTheHead(head.hash))
    }
  }

  /// That `entries` follow one another, and the log's end.
  package static func check(
    _ entries: [EncodedEntry], continue tail: LogTail
  ) throws(StoreError) {
    var (position, hash) = (tail.position, tail.hash)
    for encoded in entries {
      guard encoded.entry.position == position.next else {
        throw .gap(expected: position.next, found: encoded.entry.position)
      }
      guard encoded.entry.previous == hash else { throw .damaged(position.next, .brokenChain) }
      (position, hash) = (encoded.entry.position, encoded.hash)
    }
  }
}

extension CatalogLog {
  package var reading: CapabilitySet { .known }

  /// A log that nobody shares is the only one that entries are added to.
  package func store(_ entries: [EncodedEntry]) throws(StoreError) {
    try append(entries, fingerprints: [:])
  }

  package func checkDecides() throws(StoreError) {}
}
