import Catalog
import Glibc

/// A log of which anything may be damaged, read as far as that goes: every row by itself, and a row
/// that cannot be read is one that is not there.
struct DamagedLog {
  let catalog: CatalogID
  private let lease: EnvironmentRegistry.Lease
  private let tables: LogTables

  /// - Throws: ``StoreError`` when the file is of no use at all.
  init(folder: String) throws(StoreError) {
    // To open it for writing would make one where there is none.
    guard access(folder + "/data.mdb", F_OK) == 0 else { throw .noLog(folder: folder) }
    lease = try EnvironmentRegistry.lease(
      folder: folder, mode: .readOnly, sizes: LMDB.MapSize())
    (tables, catalog) = try LogTables.open(lease.environment)
  }

  /// The header of the base; nil when the log begins with the first entry.
  func base() throws(StoreError) -> BaseHeader? {
    let tables = tables
    return try lease.environment.read { transaction throws(StoreError) in
      try transaction.value(of: LogTables.MetaKey.base, in: tables.meta) {
        (bytes) throws(StoreError) in
        guard let header = BaseHeader(bytes) else { throw .baseDamaged("its header") }
        return header
      }
    }
  }

  /// The checkpoint that has the base's routes.
  func baseRoot() -> CatalogVersion? {
    number(of: LogTables.MetaKey.baseRoot).map { CatalogVersion($0) }
  }

  private func number(of key: String) -> UInt64? {
    let tables = tables
    let value = try? lease.environment.read { transaction throws(StoreError) in
      try transaction.value(of: key, in: tables.meta) { UInt64(stored: $0) }
    }
    return value.flatMap { $0 }.flatMap { $0 }
  }

  /// The bytes that meta has under a key.
  func meta(_ key: String) -> [UInt8]? {
    let tables = tables
    let value = try? lease.environment.read { transaction throws(StoreError) in
      try transaction.value(of: key, in: tables.meta) { [UInt8]($0) }
    }
    return value.flatMap { $0 }
  }

  /// What the log ends with; nil when the note of it is lost.
  func head() -> EventLog.Tail? {
    meta(LogTables.MetaKey.head).flatMap { bytes in
      bytes.withUnsafeBytes { EventLog.Tail($0) }
    }
  }

  /// The bytes of an entry, whatever they are.
  func bytes(at position: LogPosition) -> [UInt8]? {
    let tables = tables
    let value = try? lease.environment.read { transaction throws(StoreError) in
      try transaction.value(of: position.rawValue, in: tables.entries) { [UInt8]($0) }
    }
    return value.flatMap { $0 }
  }

  /// The fingerprint of the command that made an entry, where the row of it is good.
  func fingerprint(of command: CommandID, at position: LogPosition) -> ChangeFingerprint? {
    let tables = tables
    let row = try? lease.environment.read { transaction throws(StoreError) in
      try transaction.value(of: position.rawValue, in: tables.commands) { CommandRow($0) }
    }
    guard let row = row.flatMap({ $0 }).flatMap({ $0 }), row.command == command else { return nil }
    return row.fingerprint
  }

  /// What is known of commands from before a log that begins after `base`, as far as it can be read;
  /// and whether that is all of it.
  func commands(before base: BaseHeader) -> (commands: CommandWindow, isWhole: Bool) {
    var records: [CommandRecord] = []
    let (tables, lease) = (tables, lease)
    let isRead: Void? = try? lease.environment.read { transaction throws(StoreError) in
      if let table = tables.remembered {
        try transaction.scan(table, from: 0) { (key, bytes) throws(StoreError) in
          let position = try EventLog.position(key, expected: LogPosition(1))
          records.append(try EventLog.record(bytes, at: position))
          return true
        }
      }
      // A trim was broken off: the rest is still beside its entries.
      let next = records.last?.position.next ?? LogPosition(1)
      try transaction.scan(tables.commands, from: next.rawValue) {
        (key, bytes) throws(StoreError) in
        let position = try EventLog.position(key, expected: next)
        guard position <= base.position else { return false }
        let entry = try transaction.value(of: position.rawValue, in: tables.entries) {
          (bytes) throws(StoreError) in try EventLog.decode(bytes, at: position)
        }
        guard let row = CommandRow(bytes), let entry else {
          throw .damaged(position, .index("its row of commands is malformed"))
        }
        records.append(CommandRecord(entry.entry, fingerprint: row.fingerprint))
        return true
      }
    }
    return (CommandWindow(records), isRead != nil && DamagedLog.hasNoHole(records, before: base))
  }

  private static func hasNoHole(_ records: [CommandRecord], before base: BaseHeader) -> Bool {
    guard let last = records.last else { return true }
    return last.position == base.position
      && zip(records, records.dropFirst()).allSatisfy {
        $1.position == $0.position.next && $1.version >= $0.version
      }
  }
}
