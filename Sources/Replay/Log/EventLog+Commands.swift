import Catalog

/// What the log remembers of the command that made an entry.
package struct CommandRow: Hashable, Sendable {
  package var command: CommandID
  /// Of what was asked; nil when the entry came from another log.
  package var fingerprint: ChangeFingerprint?

  package init(command: CommandID, fingerprint: ChangeFingerprint?) {
    self.command = command
    self.fingerprint = fingerprint
  }

  /// Reads what ``bytes`` writes; nil when it is not of that form.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= CommandID.byteCount,
      let command = CommandID(bytes: bytes[..<CommandID.byteCount])
    else { return nil }
    self.command = command
    if bytes.count > CommandID.byteCount {
      guard let fingerprint = ChangeFingerprint(bytes: bytes[CommandID.byteCount...]) else {
        return nil
      }
      self.fingerprint = fingerprint
    }
  }

  /// The command's id, then the fingerprint where there is one.
  var bytes: [UInt8] { command.bytes + (fingerprint?.bytes ?? []) }
}

/// A command within the dedupe window: what there is to say of it, and its entry where the log still
/// has that.
package struct KnownCommand: Sendable {
  package var record: CommandRecord
  package var entry: EncodedEntry?

  package init(record: CommandRecord, entry: EncodedEntry?) {
    self.record = record
    self.entry = entry
  }
}

extension EventLog {
  /// What the log remembers of the command that made the entry at a position, which it still has; nil
  /// when that is behind the dedupe window, or before the log's beginning. O(log *n*).
  package func commandRow(at position: LogPosition) throws(StoreError) -> CommandRow? {
    try environment.read { transaction throws(StoreError) in
      let row = try transaction.value(of: position.rawValue, in: tables.commands) {
        CommandRow($0)
      }
      return row.flatMap { $0 }
    }
  }

  /// The command that made the entry at a position, whether the entry is still there or not; nil when
  /// it is behind the dedupe window. O(log *n*), and the size of the entry.
  ///
  /// - Throws: ``StoreError/damaged(_:_:)`` when an entry that the log should have is missing.
  package func knownCommand(at position: LogPosition) throws(StoreError) -> KnownCommand? {
    // In one transaction: a trim moves commands from one table to the other.
    try environment.read { transaction throws(StoreError) in
      let row = try transaction.value(of: position.rawValue, in: tables.commands) {
        CommandRow($0)
      }
      guard let row, let row else {
        let record = try remembered(at: position, in: transaction)
        return record.map { KnownCommand(record: $0, entry: nil) }
      }
      return try known(row, at: position, in: transaction)
    }
  }

  private func known(
    _ row: CommandRow, at position: LogPosition, in transaction: borrowing LMDB.ReadTransaction
  ) throws(StoreError) -> KnownCommand {
    if let encoded = try entry(at: position, in: transaction) {
      return KnownCommand(
        record: CommandRecord(encoded.entry, fingerprint: row.fingerprint), entry: encoded)
    }
    guard let base = try baseHeader(in: transaction), position <= base.position else {
      throw .damaged(position, .index("command \(row.command) points at it, and it is missing"))
    }
    // Lost before it was trimmed: the id is known all the same, and about the version.
    return KnownCommand(
      record: CommandRecord(
        position: position, command: row.command, fingerprint: row.fingerprint,
        version: base.version), entry: nil)
  }

  private func remembered(
    at position: LogPosition, in transaction: borrowing LMDB.ReadTransaction
  ) throws(StoreError) -> CommandRecord? {
    guard let table = tables.remembered else { return nil }
    return try transaction.value(of: position.rawValue, in: table) {
      (bytes) throws(StoreError) in try EventLog.record(bytes, at: position)
    }
  }

  /// The record of a command whose entry was trimmed.
  static func record(
    _ bytes: UnsafeRawBufferPointer, at position: LogPosition
  ) throws(StoreError) -> CommandRecord {
    do {
      return try CommandRecord(decoding: bytes, at: position)
    } catch {
      throw .damaged(position, .index("what is remembered of its command is malformed"))
    }
  }

  /// Lends position and id of the commands within the dedupe window, from the oldest on, until
  /// `body` returns false.
  package func scanCommands(
    _ body: (LogPosition, CommandID) -> Bool
  ) throws(StoreError) {
    var next: UInt64 = 0
    var isDone = false
    // In slices, so that no transaction lasts long. What a trim moves from one table to the other
    // between two of them keeps its position.
    while !isDone {
      var count = 0
      try environment.read { transaction throws(StoreError) in
        let last = try lastPosition(in: transaction).rawValue
        next = max(next, last > dedupeWindow ? last - dedupeWindow + 1 : 1)
        for table in [tables.remembered, tables.commands] {
          guard let table, !isDone, count < 16_384 else { continue }
          try transaction.scan(table, from: next) { (key, value) throws(StoreError) in
            let position = try EventLog.position(key, expected: LogPosition(next))
            guard value.count >= CommandID.byteCount,
              let command = CommandID(bytes: value[..<CommandID.byteCount])
            else { throw .damaged(position, .index("its row of commands is malformed")) }
            next = position.rawValue + 1
            count += 1
            isDone = !body(position, command)
            return !isDone && count < 16_384
          }
        }
      }
      if count < 16_384 { isDone = true }
    }
  }

  /// The commands that the log knows up to a position, for a log that goes on from there. O(*n*) in
  /// the size of the window and of its entries.
  package func commandWindow(
    through last: LogPosition
  ) throws(StoreError) -> CommandWindow {
    var positions: [LogPosition] = []
    try scanCommands { position, _ in
      guard position <= last else { return false }
      positions.append(position)
      return true
    }
    var window = CommandWindow()
    for position in positions {
      if let known = try knownCommand(at: position) { window.append(known.record) }
    }
    return window
  }

  /// The entry of a command; nil when the log has none within the dedupe window. O(*n*) in the size
  /// of the window: a store, which is asked often, keeps an index.
  package func entry(of command: CommandID) throws(StoreError) -> EncodedEntry? {
    var found: LogPosition?
    try scanCommands { position, other in
      if other == command { found = position }
      return true
    }
    guard let found else { return nil }
    return try entry(at: found)
  }
}
