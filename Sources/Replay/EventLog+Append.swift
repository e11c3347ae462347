import Catalog
import Synchronization

extension EventLog {
  /// Adds entries, all or none: durable on return. There is one of `fingerprints` for each entry of
  /// a command that was decided here, by the command's id; see ``ChangeFingerprint``.
  ///
  /// - Throws: ``StoreError/gap(expected:found:)`` and ``Damage/brokenChain`` unless they continue
  ///   the log. After ``StoreError/diskFull(folder:)`` and ``StoreError/logFull(limit:)`` the log is
  ///   what it was; after ``StoreError/system(operation:code:message:)`` ask ``tail()``.
  /// - Complexity: O(*m* log *n*), one sync of the disk.
  package func append(
    _ entries: [EncodedEntry], fingerprints: [CommandID: ChangeFingerprint] = [:]
  ) throws(StoreError) {
    guard let last = entries.last else { return }
    try checkWritable()
    let tail = try knownTail()
    try EventLog.check(entries, continue: tail)
    let head = Tail(position: last.entry.position, hash: last.hash, version: last.entry.version)
    writerTail.withLock { $0 = nil }
    try environment.write { transaction throws(StoreError) in
      var version = tail.version
      for encoded in entries {
        try add(encoded, fingerprints[encoded.entry.command], after: version, to: transaction)
        version = encoded.entry.version
      }
      try put(head, in: transaction)
    }
    writerTail.withLock { $0 = head }
  }

  private static func check(
    _ entries: [EncodedEntry], continue tail: Tail
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

  private func add(
    _ encoded: EncodedEntry, _ fingerprint: ChangeFingerprint?, after version: CatalogVersion,
    to transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) {
    let entry = encoded.entry
    let position = entry.position.rawValue
    try encoded.bytes.withRawBytes { (bytes) throws(StoreError) in
      try transaction.append(bytes, for: position, in: tables.entries)
    }
    if entry.version != version {
      try position.withStoredBytes { (bytes) throws(StoreError) in
        try transaction.append(bytes, for: entry.version.rawValue, in: tables.versions)
      }
    }
    let row = CommandRow(position: entry.position, fingerprint: fingerprint)
    try row.bytes.withRawBytes { (bytes) throws(StoreError) in
      try transaction.put(bytes, for: entry.command, in: tables.commands)
    }
    if position > dedupeWindow {
      try forgetCommand(of: LogPosition(position - dedupeWindow), in: transaction)
    }
  }

  /// Removes the row of the command that made the entry at `position`, unless its id was used again
  /// later.
  private func forgetCommand(
    of position: LogPosition, in transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) {
    let command = try transaction.value(of: position.rawValue, in: tables.entries) { bytes in
      // A damaged entry keeps its row, and does not keep the log from going on.
      try? LogEntryHeader(decoding: bytes).command
    }
    guard let command, let command else { return }
    let row = try transaction.value(of: command, in: tables.commands) { CommandRow($0) }
    guard let row, let row, row.position == position else { return }
    try transaction.remove(command, from: tables.commands)
  }

  private func knownTail() throws(StoreError) -> Tail {
    if let tail = writerTail.withLock({ $0 }) { return tail }
    try findTail()
    return try tail()
  }
}

/// What the log remembers of a command.
struct CommandRow: Hashable {
  /// Where the command's entry is.
  var position: LogPosition
  /// Of what was asked; nil when the entry came from another log.
  var fingerprint: ChangeFingerprint?

  init(position: LogPosition, fingerprint: ChangeFingerprint?) {
    self.position = position
    self.fingerprint = fingerprint
  }

  /// Reads what ``bytes`` writes; nil when it is not of that form.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= 8,
      let position = UInt64(stored: UnsafeRawBufferPointer(rebasing: bytes[..<8]))
    else { return nil }
    self.position = LogPosition(position)
    if bytes.count > 8 {
      guard let fingerprint = ChangeFingerprint(bytes: bytes[8...]) else { return nil }
      self.fingerprint = fingerprint
    }
  }

  /// The position, then the fingerprint where there is one.
  var bytes: [UInt8] {
    withUnsafeBytes(of: position.rawValue.littleEndian, Array.init) + (fingerprint?.bytes ?? [])
  }
}
