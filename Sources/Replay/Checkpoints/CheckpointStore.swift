import Catalog
import Glibc
import StateMachines
import Synchronization

/// The checkpoints of a folder: versions of the catalog that last, in an LMDB environment beside
/// that of the log.
///
/// A checkpoint is the nodes of the indexes that were made since the one before, and a root that
/// names where its trees begin; what did not change is shared. All of it can be made anew from the
/// log. Reads are snapshots and run beside the writer, in this process and in others. `FORMAT.md`
/// describes the folder.
package final class CheckpointStore: Sendable {
  /// The format of the environment, which it names.
  package static let format: UInt32 = 2
  /// The format of one without members.
  static let firstFormat: UInt32 = 1
  /// The folder of the environment, within that of the log.
  package static let folderName = "checkpoints"

  /// The environment's own folder.
  package let folder: String
  package let mode: LogMode
  package let catalog: CatalogID
  let tables: CheckpointTables
  /// How often nodes went that a root which was the newest could see. Whoever remembers stored nodes
  /// by their ids looks whether they are there still.
  let losses = Atomic<UInt64>(0)
  private let lease: EnvironmentRegistry.Lease
  /// A checkpoint takes several transactions, and so may what removes others: one at a time.
  private let turn = Monitor(())

  var environment: LMDB.Environment { lease.environment }

  /// Opens the checkpoints beside the log of `folder`; nil when there are none.
  ///
  /// For writing it makes the environment where there is none, and removes what a checkpoint left
  /// that was broken off. Who opens it so holds the right to write the log.
  ///
  /// - Throws: ``StoreError/otherCatalog(expected:found:)`` when they are another catalog's, and
  ///   whatever else keeps the environment from being opened.
  package static func open(
    folder: String, mode: LogMode, catalog: CatalogID, options: LogOptions = LogOptions()
  ) throws(StoreError) -> CheckpointStore? {
    let folder = folder + "/" + folderName
    switch mode {
    case .readOnly:
      let lease: EnvironmentRegistry.Lease
      do throws(StoreError) {
        lease = try EnvironmentRegistry.lease(
          folder: folder, mode: .readOnly, sizes: LMDB.MapSize(options))
      } catch {
        guard case .noLog = error else { throw error }
        return nil
      }
      guard let (tables, found) = try CheckpointTables.open(lease.environment) else { return nil }
      return try CheckpointStore(folder, mode, lease, tables, of: catalog, found: found)
    case .readWrite:
      try Folder.make(folder)
      let lease = try EnvironmentRegistry.lease(
        folder: folder, mode: .readWrite, sizes: LMDB.MapSize(options))
      let store: CheckpointStore
      if let (tables, found) = try CheckpointTables.open(lease.environment) {
        store = try CheckpointStore(folder, mode, lease, tables, of: catalog, found: found)
      } else {
        let tables = try CheckpointTables.create(lease.environment, catalog: catalog)
        store = try CheckpointStore(folder, mode, lease, tables, of: catalog, found: catalog)
      }
      try Folder.sync(folder)
      try store.removeLeftovers()
      return store
    }
  }

  /// The checkpoints beside a log, to read; nil when there are none. What keeps them from being
  /// opened is told to `warn`: the log tells all that they do.
  package static func forReading(
    _ log: EventLog, warn: (StoreError) -> Void
  ) -> CheckpointStore? {
    do throws(StoreError) {
      return try open(folder: log.folder, mode: .readOnly, catalog: log.catalog)
    } catch {
      warn(error)
      return nil
    }
  }

  /// Opens the checkpoints beside the log of `folder` for writing; nil when there are none.
  static func existing(
    folder: String, catalog: CatalogID, options: LogOptions
  ) throws(StoreError) -> CheckpointStore? {
    guard access(folder + "/" + folderName + "/data.mdb", F_OK) == 0 else { return nil }
    return try open(folder: folder, mode: .readWrite, catalog: catalog, options: options)
  }

  /// The environment of a checkpoint that is being received; see ``CheckpointIntake``.
  static func incoming(
    folder: String, catalog: CatalogID
  ) throws(StoreError) -> CheckpointStore {
    let folder = folder + "/" + CheckpointIntake.folderName
    try Folder.make(folder)
    let lease = try EnvironmentRegistry.lease(
      folder: folder, mode: .readWrite, sizes: LMDB.MapSize(LogOptions()))
    if let (tables, found) = try CheckpointTables.open(lease.environment) {
      return try CheckpointStore(folder, .readWrite, lease, tables, of: catalog, found: found)
    }
    let tables = try CheckpointTables.create(lease.environment, catalog: catalog)
    return try CheckpointStore(folder, .readWrite, lease, tables, of: catalog, found: catalog)
  }

  private init(
    _ folder: String, _ mode: LogMode, _ lease: EnvironmentRegistry.Lease,
    _ tables: CheckpointTables, of catalog: CatalogID, found: CatalogID
  ) throws(StoreError) {
    guard found == catalog else { throw .otherCatalog(expected: catalog, found: found) }
    self.folder = folder
    self.mode = mode
    self.lease = lease
    self.tables = tables
    self.catalog = catalog
  }

  /// Runs `body` while nobody else changes which nodes and roots there are.
  func withTurn<Result>(_ body: () throws(StoreError) -> Result) throws(StoreError) -> Result {
    try turn.withLock { _ throws(StoreError) in try body() }
  }

  /// The size of the environment's map in bytes; an upper bound of what the disk holds.
  package var mapSize: Int { environment.mapSize }
}

// MARK: Roots

extension CheckpointStore {
  /// The roots that are whole, ascending by version. O(*n*) in their number.
  package func roots() throws(StoreError) -> [CheckpointRoot] {
    try rootRows().compactMap(\.root)
  }

  /// The versions of the roots whose rows are not what was written.
  package func damagedRoots() throws(StoreError) -> [CatalogVersion] {
    try rootRows().filter { $0.root == nil }.map(\.version)
  }

  /// The newest root at or before a version; nil when there is none. O(*n*) in their number.
  package func root(atOrBefore version: CatalogVersion) throws(StoreError) -> CheckpointRoot? {
    try roots().last { $0.version <= version }
  }

  /// The bytes of the nodes that were written for a root and are there still. O(*m*) for *m* nodes.
  package func writtenByteCount(of root: CheckpointRoot) throws(StoreError) -> Int {
    try environment.read { transaction throws(StoreError) in
      var count = 0
      try transaction.scan(tables.nodes, from: root.nodes.lowerBound) { (key, bytes) in
        guard let id = UInt64(key: key), id < root.nodes.upperBound else { return false }
        count += bytes.count
        return true
      }
      return count
    }
  }

  /// A root's place among the rows; the root itself is nil when its row is damaged.
  typealias RootRow = (version: CatalogVersion, root: CheckpointRoot?)

  func rootRows() throws(StoreError) -> [RootRow] {
    try environment.read { transaction throws(StoreError) in try rootRows(in: transaction) }
  }

  func rootRows(
    in transaction: borrowing some LMDB.Transaction & ~Copyable
  ) throws(StoreError) -> [RootRow] {
    var rows: [RootRow] = []
    try transaction.scan(tables.roots, from: 0) { (key, bytes) throws(StoreError) in
      guard let version = UInt64(key: key) else { return true }
      let root = CheckpointRoot(bytes, of: catalog)
      rows.append(
        (CatalogVersion(version), root?.version.rawValue == version ? root : nil))
      return true
    }
    return rows
  }

  /// That a root is there still, as it was: somebody may have dropped it since it was found.
  func check(
    _ root: CheckpointRoot, in transaction: borrowing LMDB.ReadTransaction
  ) throws(StoreError) {
    let stored = try transaction.value(of: root.version.rawValue, in: tables.roots) {
      CheckpointRoot($0, of: catalog)
    }
    guard stored == root else { throw .noCheckpoint(root.version) }
  }
}
