import Catalog

/// The tables of a folder's checkpoints, which are an environment of their own.
struct CheckpointTables: Sendable {
  /// `format`, `catalog` and `next`; see ``MetaKey``.
  var meta: LMDB.Table<String>
  /// Id to the node's bytes.
  var nodes: LMDB.Table<UInt64>
  /// Version to the row of its root; see ``CheckpointRoot``.
  var roots: LMDB.Table<UInt64>
  /// Version of a root to the ids of the nodes that the root before it can see and it cannot.
  var dead: LMDB.Table<UInt64>
  /// Version of a root to what was committed to with it; see ``CommitmentRow``.
  var commitments: LMDB.Table<UInt64>

  /// What ``meta`` holds.
  enum MetaKey {
    static let format = "format"
    static let catalog = "catalog"
    /// The id that the next node gets: all below belong to roots that are or were there.
    static let next = "next"
    /// Before the digest of a membership, in hexadecimal: its records, for all roots that have it.
    static let members = "members/"
  }

  /// Finds the tables of a folder's checkpoints; nil when the environment is empty.
  ///
  /// - Throws: ``StoreError/notALog(folder:)`` when it holds something else.
  static func open(
    _ environment: LMDB.Environment
  ) throws(StoreError) -> (CheckpointTables, CatalogID)? {
    let folder = environment.location.folder
    return try environment.openTables { transaction throws(StoreError) in
      guard let meta = try transaction.existingTable("meta", of: String.self) else {
        guard try transaction.isEmpty else { throw .notALog(folder: folder) }
        return nil
      }
      // First of all, since a later format may have other tables.
      let format = try transaction.value(of: MetaKey.format, in: meta) { UInt32(stored: $0) }
      guard let format, let format else { throw .notALog(folder: folder) }
      guard format <= CheckpointStore.format else {
        throw .newerFormat(folder: folder, found: format, supported: CheckpointStore.format)
      }
      let catalog = try transaction.value(of: MetaKey.catalog, in: meta) { CatalogID(bytes: $0) }
      guard format > 0, let catalog, let catalog,
        let nodes = try transaction.existingTable("nodes", of: UInt64.self),
        let roots = try transaction.existingTable("roots", of: UInt64.self),
        let dead = try transaction.existingTable("dead", of: UInt64.self),
        let commitments = try transaction.existingTable("commitments", of: UInt64.self)
      else { throw .notALog(folder: folder) }
      let tables = CheckpointTables(
        meta: meta, nodes: nodes, roots: roots, dead: dead, commitments: commitments)
      return (tables, catalog)
    }
  }

  /// Makes the tables in an empty environment.
  static func create(
    _ environment: LMDB.Environment, catalog: CatalogID
  ) throws(StoreError) -> CheckpointTables {
    try environment.makeTables { transaction throws(StoreError) in
      let tables = CheckpointTables(
        meta: try transaction.table("meta", of: String.self),
        nodes: try transaction.table("nodes", of: UInt64.self),
        roots: try transaction.table("roots", of: UInt64.self),
        dead: try transaction.table("dead", of: UInt64.self),
        commitments: try transaction.table("commitments", of: UInt64.self))
      try CheckpointStore.firstFormat.withStoredBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: MetaKey.format, in: tables.meta)
      }
      try catalog.bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: MetaKey.catalog, in: tables.meta)
      }
      return tables
    }
  }
}
