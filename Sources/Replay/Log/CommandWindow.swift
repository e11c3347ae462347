import Catalog
import StateMachines

/// The commands that a log knows up to a position, on their way to another log that will go on from
/// there: without them a command that is sent again would be carried out there a second time.
///
/// Nothing in the chain vouches for them, so that they are carried with a sum of their own. They are
/// kept as their bytes, about 45 a command.
package struct CommandWindow: Hashable, Sendable {
  /// The records, each behind its position, as `FORMAT.md` describes them; ascending by position.
  package private(set) var bytes: [UInt8] = []

  package init() {}

  /// Takes records in the order of their positions.
  package init(_ records: some Sequence<CommandRecord>) {
    for record in records { append(record) }
  }

  /// Reads what ``bytes`` gives: of commands up to an entry that made `version`.
  ///
  /// - Throws: ``LogCodingError`` unless they are records in order, and none from after that entry. No
  ///   bytes trap.
  package init(
    decoding bytes: [UInt8], through last: LogPosition, version: CatalogVersion
  ) throws(LogCodingError) {
    var before: (position: LogPosition, version: CatalogVersion) = (.zero, .zero)
    try bytes.withUnsafeBufferPointer { (buffer) throws(LogCodingError) in
      try CommandRecord.decode(UnsafeRawBufferPointer(buffer)) {
        (record) throws(LogCodingError) in
        guard record.position > before.position, record.position <= last,
          record.version >= before.version, record.version <= version
        else { throw LogCodingError(.recordsNotAscending, at: 0) }
        before = (record.position, record.version)
      }
    }
    self.bytes = bytes
  }

  /// What came with a state: the bytes that another log's ``bytes`` gave, and their ``hash``.
  ///
  /// - Throws: ``StoreError/checkpointDamaged(_:_:)`` when it is not what was sent.
  package static func received(
    _ bytes: [UInt8], hash: EntryHash, with state: StateHeader
  ) throws(StoreError) -> CommandWindow {
    if let window = received(bytes, hash: hash, through: state.position, state.version) {
      return window
    }
    throw .checkpointDamaged(state.version, "the commands that came with it")
  }

  /// What came with a state of a region's stream; as with the catalog's.
  ///
  /// - Throws: ``StoreError/baseDamaged(_:)`` when it is not what was sent.
  package static func received(
    _ bytes: [UInt8], hash: EntryHash, with state: RegionHeader
  ) throws(StoreError) -> CommandWindow {
    if let window = received(bytes, hash: hash, through: state.position, .zero) { return window }
    throw .baseDamaged("the commands that came with it are not those that were sent")
  }

  private static func received(
    _ bytes: [UInt8], hash: EntryHash, through last: LogPosition, _ version: CatalogVersion
  ) -> CommandWindow? {
    let window = try? CommandWindow(decoding: bytes, through: last, version: version)
    return window?.hash == hash ? window : nil
  }

  package var isEmpty: Bool { bytes.isEmpty }

  /// What vouches for the records on their way. O(*n*).
  package var hash: EntryHash { bytes.withUnsafeBytes(EntryHash.init(of:)) }

  /// The records. O(*n*) in their number.
  package var records: [CommandRecord] {
    var records: [CommandRecord] = []
    forEach { records.append($0) }
    return records
  }

  /// - Precondition: The record comes after those that are there.
  package mutating func append(_ record: CommandRecord) {
    withUnsafeBytes(of: record.position.rawValue.littleEndian) {
      bytes.append(contentsOf: $0)
    }
    bytes += record.bytes
  }

  /// Lends the records in the order of their positions.
  package func forEach<Failure: Error>(
    _ body: (CommandRecord) throws(Failure) -> Void
  ) throws(Failure) {
    var failure: Failure?
    // The bytes are those that were decoded or appended: only `body` can fail.
    try? bytes.withUnsafeBytes { buffer in
      try CommandRecord.decode(buffer) { (record) throws(LogCodingError) in
        guard failure == nil else { return }
        do throws(Failure) { try body(record) } catch { failure = error }
      }
    }
    if let failure { throw failure }
  }
}
