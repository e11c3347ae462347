import Catalog
import Synchronization

extension EventLog {
  /// Adds entries, all or none: durable on return. There is one of `fingerprints` for each entry of
  /// a command that was decided here, by the command's id; see ``ChangeFingerprint``.
  ///
  /// - Throws: ``StoreError/gap(expected:found:)`` and ``Damage/brokenChain`` unless they continue
  ///   the log. After any other error ``tail()`` tells what the log holds: nearly always what it did.
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
      try forgetCommands(
        through: head.position, entryCount: entries.count, in: transaction)
      try put(head, in: transaction)
    }
    writerTail.withLock { $0 = head }
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
    let row = CommandRow(command: entry.command, fingerprint: fingerprint)
    try row.bytes.withRawBytes { (bytes) throws(StoreError) in
      try transaction.append(bytes, for: position, in: tables.commands)
    }
  }

  /// Removes the commands that are behind the window: for each entry that came one, and one more,
  /// should the window have become smaller.
  private func forgetCommands(
    through last: LogPosition, entryCount: Int, in transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) {
    guard last.rawValue > dedupeWindow else { return }
    for table in [tables.remembered, tables.commands] {
      guard let table else { continue }
      for _ in 0..<2 * entryCount {
        let first = try transaction.first(in: table) { (key, _) in UInt64(key: key) }
        guard let first, let first, first <= last.rawValue - dedupeWindow else { break }
        try transaction.remove(first, from: table)
      }
    }
  }

  private func knownTail() throws(StoreError) -> Tail {
    if let tail = writerTail.withLock({ $0 }) { return tail }
    try findTail()
    return try tail()
  }
}
