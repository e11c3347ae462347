import Catalog

/// The tables of a log's environment.
struct LogTables: Sendable {
  /// `format`, `catalog`, `base`, `head` and `role`; see ``MetaKey``.
  var meta: LMDB.Table<String>
  /// Position to the entry's bytes.
  var entries: LMDB.Table<UInt64>
  /// Version to the position of the entry that made it.
  var versions: LMDB.Table<UInt64>
  /// Position to the command that made the entry there, within the window; see ``CommandRow``.
  var commands: LMDB.Table<UInt64>
  /// Position to what is remembered of the command whose entry was there before a trim, or before the
  /// base, within the window; see ``CommandRecord``. Nil in a log of an earlier release that was not
  /// opened for writing since.
  var remembered: LMDB.Table<UInt64>?
  /// The routes of the base, in chunks numbered from 0.
  var base: LMDB.Table<UInt64>

  /// What ``meta`` holds.
  enum MetaKey {
    static let format = "format"
    static let catalog = "catalog"
    static let base = "base"
    static let head = "head"
    /// The records of the membership of the base, where that is in the log itself and has one.
    static let baseMembers = "base-members"
    static let role = "role"
    /// The name of the region whose stream the log is; a catalog's log has none.
    static let region = "region"
    /// On what terms the stream of a region is led from the folder; see ``RegionLeadTerms``.
    static let lead = "lead"
    /// The version of the checkpoint that has the routes of the base.
    static let baseRoot = "base-root"
    /// The policy of a trim that has no marker in the log yet.
    static let trim = "trim"
  }

  /// Finds the tables of a log.
  ///
  /// - Throws: ``StoreError/noLog(folder:)`` when the environment is empty, and when it holds
  ///   something else ``StoreError/notALog(folder:)``.
  static func open(
    _ environment: LMDB.Environment, region: Region? = nil
  ) throws(StoreError) -> (LogTables, CatalogID) {
    let folder = environment.location.folder
    return try environment.openTables { transaction throws(StoreError) in
      guard let meta = try transaction.existingTable("meta", of: String.self) else {
        throw try transaction.isEmpty ? .noLog(folder: folder) : .notALog(folder: folder)
      }
      // First of all, since a later format may have other tables.
      let format = try transaction.value(of: MetaKey.format, in: meta) { UInt32(stored: $0) }
      guard let format, let format else { throw .notALog(folder: folder) }
      guard format <= EventLog.format else {
        throw .newerFormat(folder: folder, found: format, supported: EventLog.format)
      }
      let name = try transaction.value(of: MetaKey.region, in: meta) {
        String(decoding: $0, as: UTF8.self)
      }
      guard name == region?.name else {
        throw .otherStream(folder: folder, expected: region?.name, found: name)
      }
      let catalog = try transaction.value(of: MetaKey.catalog, in: meta) { CatalogID(bytes: $0) }
      guard format > 0, let catalog, let catalog,
        let entries = try transaction.existingTable("entries", of: UInt64.self),
        let versions = try transaction.existingTable("versions", of: UInt64.self),
        let commands = try transaction.existingTable("commands", of: UInt64.self),
        let base = try transaction.existingTable("base", of: UInt64.self)
      else { throw .notALog(folder: folder) }
      let tables = LogTables(
        meta: meta, entries: entries, versions: versions, commands: commands,
        remembered: try transaction.existingTable(rememberedName, of: UInt64.self), base: base)
      return (tables, catalog)
    }
  }

  private static let rememberedName = "remembered"

  /// Makes the table that logs of earlier releases lack.
  mutating func complete(in environment: LMDB.Environment) throws(StoreError) {
    guard remembered == nil else { return }
    remembered = try environment.makeTables { transaction throws(StoreError) in
      try transaction.table(Self.rememberedName, of: UInt64.self)
    }
  }

  /// Makes the tables in an empty environment.
  static func create(
    _ environment: LMDB.Environment, catalog: CatalogID, region: Region? = nil
  ) throws(StoreError) -> LogTables {
    try environment.makeTables { transaction throws(StoreError) in
      guard try transaction.isEmpty else {
        let isLog = try transaction.existingTable("meta", of: String.self) != nil
        let folder = environment.location.folder
        throw isLog ? .logExists(folder: folder) : .notALog(folder: folder)
      }
      let tables = LogTables(
        meta: try transaction.table("meta", of: String.self),
        entries: try transaction.table("entries", of: UInt64.self),
        versions: try transaction.table("versions", of: UInt64.self),
        commands: try transaction.table("commands", of: UInt64.self),
        remembered: try transaction.table(rememberedName, of: UInt64.self),
        base: try transaction.table("base", of: UInt64.self))
      let format = region == nil ? EventLog.firstFormat : EventLog.regionFormat
      try format.withStoredBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: MetaKey.format, in: tables.meta)
      }
      try catalog.bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: MetaKey.catalog, in: tables.meta)
      }
      if let region {
        try Array(region.name.utf8).withRawBytes { (bytes) throws(StoreError) in
          try transaction.put(bytes, for: MetaKey.region, in: tables.meta)
        }
      }
      return tables
    }
  }
}

extension FixedWidthInteger {
  /// Lends the number as values store it: little-endian, like the numbers in entries.
  func withStoredBytes<Result>(
    _ body: (UnsafeRawBufferPointer) throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    try withUnsafeBytes(of: littleEndian) { (bytes) throws(StoreError) -> Result in
      try body(bytes)
    }
  }

  /// Reads what ``withStoredBytes(_:)`` lends; nil unless it has the right length.
  init?(stored bytes: UnsafeRawBufferPointer) {
    guard bytes.count == MemoryLayout<Self>.size else { return nil }
    self.init(littleEndian: bytes.loadUnaligned(as: Self.self))
  }
}
