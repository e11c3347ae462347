import Catalog
import StateMachines

extension EventLog {
  /// Lets the log begin after the state of a checkpoint, in one transaction: durable on return. The
  /// entries up to there are no longer the log's, and are removed by ``removeTrimmed(limit:)``.
  ///
  /// `policy` says why, for the marker that is to follow; see ``trimNote()``.
  ///
  /// - Precondition: The checkpoint was loaded and proven, and the log has the entry at its position.
  func begin(after root: CheckpointRoot, policy: String) throws(StoreError) {
    try checkWritable()
    let header = BaseHeader(root.header, routeCount: root.routeCount)
    try environment.write { transaction throws(StoreError) in
      try raiseFormat(to: Self.rememberingFormat, in: transaction)
      try header.bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: LogTables.MetaKey.base, in: tables.meta)
      }
      try root.version.rawValue.withStoredBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: LogTables.MetaKey.baseRoot, in: tables.meta)
      }
      try Array(policy.utf8).withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: LogTables.MetaKey.trim, in: tables.meta)
      }
      try transaction.removeAll(from: tables.base)
      try transaction.remove(LogTables.MetaKey.baseMembers, from: tables.meta)
    }
  }

  /// Removes entries from before the log's beginning, with their rows of the other tables, oldest
  /// first, at most so many, and remembers their commands where those are within the dedupe window:
  /// durable on return. The writer waits no longer than that takes.
  ///
  /// - Returns: How many were removed; 0 when there are none left.
  func removeTrimmed(limit: Int) throws(StoreError) -> Int {
    try checkWritable()
    guard try hasTrimmedRows() else { return 0 }
    return try environment.write { transaction throws(StoreError) in
      guard let base = try baseHeader(in: transaction) else { return 0 }
      // A trim that an earlier release began.
      try raiseFormat(to: Self.rememberingFormat, in: transaction)
      let last = try lastPosition(in: transaction).rawValue
      var count = 0
      var version = try rememberedVersion(in: transaction)
      while count < limit {
        let first = try transaction.first(in: tables.entries) { (key, bytes) in
          (UInt64(key: key) ?? 0, try? EncodedEntry(decoding: bytes))
        }
        guard let (position, encoded) = first, position <= base.position.rawValue else { break }
        version = max(version, encoded?.entry.version ?? .zero)
        if last - position < dedupeWindow {
          try remember(encoded?.entry, at: position, version, in: transaction)
        }
        try transaction.remove(position, from: tables.entries)
        try transaction.remove(position, from: tables.commands)
        count += 1
      }
      if count < limit { version = base.version }
      while let row = try transaction.first(in: tables.versions, { (key, _) in UInt64(key: key) }),
        let row, row <= min(version, base.version).rawValue
      {
        try transaction.remove(row, from: tables.versions)
      }
      // Commands of entries that are gone by damage, or for long.
      while count < limit,
        let row = try transaction.first(in: tables.commands, { (key, _) in UInt64(key: key) }),
        let row, row <= base.position.rawValue
      {
        if last - row < dedupeWindow {
          try remember(nil, at: row, base.version, in: transaction)
        }
        try transaction.remove(row, from: tables.commands)
      }
      return count
    }
  }

  /// Keeps what there is to know of the command of an entry that goes. Of an entry that cannot be read
  /// the id is still known; then it is not certain which version it made, or which routes.
  private func remember(
    _ entry: LogEntry?, at position: UInt64, _ version: CatalogVersion,
    in transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) {
    guard let table = tables.remembered else { return }
    let row = try transaction.value(of: position, in: tables.commands) { CommandRow($0) }
    var record: CommandRecord
    if let entry {
      record = CommandRecord(entry, fingerprint: nil)
    } else if let row, let row {
      record = CommandRecord(
        position: LogPosition(position), command: row.command, fingerprint: nil, version: version)
    } else {
      return
    }
    if let row, let row, row.command == record.command { record.fingerprint = row.fingerprint }
    try record.bytes.withRawBytes { (bytes) throws(StoreError) in
      try transaction.put(bytes, for: position, in: table)
    }
  }

  /// The version of the last command that is remembered.
  private func rememberedVersion(
    in transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) -> CatalogVersion {
    guard let table = tables.remembered else { return .zero }
    let version = try transaction.last(in: table) { (key, bytes) in
      UInt64(key: key).flatMap {
        try? CommandRecord(decoding: bytes, at: LogPosition($0)).version
      }
    }
    return version.flatMap { $0 } ?? .zero
  }

  /// Whether there are entries from before the log's beginning: a trim is under way, or was broken
  /// off.
  func hasTrimmedRows() throws(StoreError) -> Bool {
    try environment.read { transaction throws(StoreError) in
      try hasTrimmedRows(in: transaction)
    }
  }

  func hasTrimmedRows(
    in transaction: borrowing LMDB.ReadTransaction
  ) throws(StoreError) -> Bool {
    guard let base = try baseHeader(in: transaction) else { return false }
    let first = try transaction.first(in: tables.entries) { (key, _) in UInt64(key: key) }
    return first.flatMap { $0 }.map { $0 <= base.position.rawValue } ?? false
  }

  /// The version of the checkpoint that the log begins after; nil when it begins with the first entry
  /// or after a base of its own.
  package func baseRootVersion() throws(StoreError) -> CatalogVersion? {
    try environment.read { transaction throws(StoreError) in
      try baseRootVersion(in: transaction)
    }
  }

  func baseRootVersion(
    in transaction: borrowing LMDB.ReadTransaction
  ) throws(StoreError) -> CatalogVersion? {
    let version = try transaction.value(of: LogTables.MetaKey.baseRoot, in: tables.meta) {
      UInt64(stored: $0)
    }
    guard let version else { return nil }
    guard let version else { throw .baseDamaged("the note of the checkpoint that has its routes") }
    return CatalogVersion(version)
  }

  /// The version that the log begins after, 0 for one that begins with the first entry.
  func baseVersion() throws(StoreError) -> CatalogVersion {
    try environment.read { transaction throws(StoreError) in
      try baseHeader(in: transaction)?.version ?? .zero
    }
  }

  /// The policy of a trim that has no marker in the log yet; nil when there is none.
  func unmarkedTrim() throws(StoreError) -> String? {
    try environment.read { transaction throws(StoreError) in
      try transaction.value(of: LogTables.MetaKey.trim, in: tables.meta) {
        String(decoding: $0, as: UTF8.self)
      }
    }
  }

  /// Notes that the trim has its marker, or needs none.
  func forgetUnmarkedTrim() throws(StoreError) {
    guard try unmarkedTrim() != nil else { return }
    try environment.write { transaction throws(StoreError) in
      try transaction.remove(LogTables.MetaKey.trim, from: tables.meta)
    }
  }

  /// The marker of a trim that has none in the log yet, signed; nil when there is no such trim.
  ///
  /// Its id follows from what it says, so that it is appended once, whenever a crash came.
  package func trimNote(signedWith key: SigningKey) throws(StoreError) -> Note? {
    guard let policy = try unmarkedTrim() else { return nil }
    let base = try environment.read { transaction throws(StoreError) in
      try baseHeader(in: transaction)
    }
    guard let base,
      let marker = TrimMarker(
        through: base.position, hash: base.hash, version: base.version, digest: base.digest,
        policy: policy, of: catalog, signedWith: key)
    else { return nil }
    let name = Array("cadastre/trim-note/1".utf8) + base.bytes
    let hash = name.withUnsafeBytes { EntryHash(of: $0) }
    guard let id = CommandID(bytes: hash.bytes.prefix(CommandID.byteCount)) else { return nil }
    return Note(id: id, reason: "trim", events: [.logTrimmed(marker)])
  }
}
