import Catalog
import StateMachines
import Synchronization

/// How a log is opened.
package enum LogMode: Hashable, Sendable {
  /// At the same time as any number of readers and one writer, in this process and in others.
  case readOnly
  /// As the folder's only writer.
  case readWrite
}

/// What may differ from one opening of a log to the next.
package struct LogOptions: Sendable {
  /// How many positions back a command's id is known, whether the log still has its entry or not. The
  /// same for all who write a log.
  package static let defaultDedupeWindow: UInt64 = 1_000_000

  package var dedupeWindow = defaultDedupeWindow
  /// The size of a new log's map, in bytes. It is address space and grows by itself.
  package var initialMapSize = 16 << 20
  /// The log does not grow past this many bytes.
  package var maximumMapSize = 1 << 40
  /// What the reader reads beyond format 1. Less than this code knows is for tests of what an older
  /// release does.
  package var reading = CapabilitySet.known

  package init() {}
}

/// The stream of a catalog's entries in a folder, on LMDB.
///
/// Holds the entries in the order of their positions, and for each where its version and its command
/// are found. An append is one transaction, durable when ``append(_:fingerprints:)`` returns. The log
/// begins with the first entry of the catalog, or after a *base*: a state that was taken over from
/// elsewhere. Reads are snapshots and run beside the writer.
///
/// All operations are synchronous. `FORMAT.md` describes the folder.
package final class EventLog: CatalogLog {
  /// The newest format of a folder that is read; the folder names its own.
  package static let format: UInt32 = 4
  /// The format of a folder that is made. It rises with what the log comes to hold.
  static let firstFormat: UInt32 = 1
  /// The format of a region's stream, which older readers are to leave alone.
  static let regionFormat: UInt32 = 3

  package typealias Tail = LogTail

  package let folder: String
  package let mode: LogMode
  package let catalog: CatalogID
  /// The region whose stream the log is; nil for the catalog's.
  package let region: Region?
  let tables: LogTables
  package let dedupeWindow: UInt64
  /// What this reader reads beyond format 1.
  package let reading: CapabilitySet
  private let lease: EnvironmentRegistry.Lease
  private let lock: Mutex<FolderLock?>
  /// What the writer knows the log to end with. Nil while a write whose outcome is unknown has not
  /// been looked into.
  let writerTail: Mutex<Tail?>

  var environment: LMDB.Environment { lease.environment }

  /// Opens the log of `folder`, which must be that of `catalog`; nil takes any. Without a `region` it
  /// is the catalog's stream, and otherwise that of the region.
  ///
  /// With `provesEnd` it also proves that the log's end is whole: the last entry decodes and names
  /// the one before it.
  ///
  /// - Throws: ``StoreError``, of which ``StoreError/damaged(_:_:)`` and
  ///   ``StoreError/gap(expected:found:)`` name where the log is no longer what was written.
  /// - Complexity: O(log *n*), and the size of the last entry.
  package static func open(
    folder: String, mode: LogMode, catalog: CatalogID? = nil, options: LogOptions = LogOptions(),
    provesEnd: Bool = true, region: Region? = nil
  ) throws(StoreError) -> EventLog {
    let lock = mode == .readWrite ? try FolderLock(existing: folder) : nil
    let lease = try EnvironmentRegistry.lease(
      folder: folder, mode: mode == .readWrite ? .readWrite : .readOnly,
      sizes: LMDB.MapSize(options))
    var (tables, found) = try LogTables.open(lease.environment, region: region)
    if let catalog, catalog != found {
      throw .otherCatalog(expected: catalog, found: found)
    }
    if mode == .readWrite { try tables.complete(in: lease.environment) }
    let log = EventLog(
      folder: folder, mode: mode, catalog: found, region: region, tables: tables, options: options,
      lease: lease,
      lock: lock)
    // Who made the folder may have died before its names were durable.
    if mode == .readWrite {
      try Folder.sync(folder)
      try Compaction.removeLeftovers(in: folder)
    }
    if provesEnd { try log.findTail() }
    return log
  }

  /// Makes a log without entries; the folder too where there is none.
  ///
  /// - Throws: ``StoreError/logExists(folder:)`` when there is one already.
  package static func create(
    folder: String, catalog: CatalogID, options: LogOptions = LogOptions(), region: Region? = nil
  ) throws(StoreError) -> EventLog {
    try Folder.make(folder)
    let lock = try FolderLock(folder: folder)
    let lease = try EnvironmentRegistry.lease(
      folder: folder, mode: .readWrite, sizes: LMDB.MapSize(options))
    let tables = try LogTables.create(lease.environment, catalog: catalog, region: region)
    // The data file is durable; so must be the way to it.
    try Folder.sync(folder)
    let log = EventLog(
      folder: folder, mode: .readWrite, catalog: catalog, region: region, tables: tables,
      options: options,
      lease: lease, lock: lock)
    try log.findTail()
    return log
  }

  private init(
    folder: String, mode: LogMode, catalog: CatalogID, region: Region?, tables: LogTables,
    options: LogOptions,
    lease: EnvironmentRegistry.Lease, lock: consuming FolderLock?
  ) {
    self.folder = folder
    self.mode = mode
    self.catalog = catalog
    self.region = region
    self.tables = tables
    self.lease = lease
    self.lock = Mutex(lock)
    dedupeWindow = options.dedupeWindow
    reading = options.reading
    writerTail = Mutex(nil)
  }

  /// Lets others write the folder. Reads go on as long as the log is referred to; writes are refused.
  package func releaseForWriting() {
    lock.withLock { $0 = nil }
  }

  /// - Throws: ``StoreError/readOnly(folder:)`` unless this log holds the right to write.
  func checkWritable() throws(StoreError) {
    guard lock.withLock({ $0 != nil }) else { throw .readOnly(folder: folder) }
  }

  /// The size of the log's map in bytes; an upper bound of what the disk holds.
  package var mapSize: Int { environment.mapSize }
}

extension LMDB.MapSize {
  init(_ options: LogOptions) {
    self.init(initial: min(options.initialMapSize, options.maximumMapSize))
    maximum = options.maximumMapSize
  }
}
