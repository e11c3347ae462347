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

extension EventLog {
  /// What the log remembers of the command that made the entry at a position; nil when that is
  /// behind the dedupe window. O(log *n*).
  package func commandRow(at position: LogPosition) throws(StoreError) -> CommandRow? {
    try environment.read { transaction throws(StoreError) in
      let row = try transaction.value(of: position.rawValue, in: tables.commands) {
        CommandRow($0)
      }
      return row.flatMap { $0 }
    }
  }

  /// Lends position and id of the commands within the dedupe window, from the oldest on, until
  /// `body` returns false.
  package func scanCommands(
    _ body: (LogPosition, CommandID) -> Bool
  ) throws(StoreError) {
    var next: UInt64 = 0
    var isDone = false
    // In slices, so that no transaction lasts long.
    while !isDone {
      var count = 0
      try environment.read { transaction throws(StoreError) in
        let last = try lastPosition(in: transaction).rawValue
        next = max(next, last > dedupeWindow ? last - dedupeWindow + 1 : 1)
        try transaction.scan(tables.commands, from: next) { (key, value) throws(StoreError) in
          let position = try EventLog.position(key, expected: LogPosition(next))
          guard let row = CommandRow(value) else {
            throw .damaged(position, .index("its row of commands is malformed"))
          }
          next = position.rawValue + 1
          count += 1
          isDone = !body(position, row.command)
          return !isDone && count < 16_384
        }
      }
      if count < 16_384 { isDone = true }
    }
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
