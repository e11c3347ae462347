import Catalog
import StateMachines
import Synchronization

/// A region's stream in a folder of its own, on LMDB: `regions/NAME` in the folder of the catalog's
/// log.
package final class RegionEventLog: RegionLog {
  package let region: Region
  package let log: EventLog

  package var catalog: CatalogID { log.catalog }

  private init(_ log: EventLog, of region: Region) {
    self.log = log
    self.region = region
  }

  /// The folder of a region's stream within that of a catalog's log.
  package static func folder(of region: Region, in folder: String) -> String {
    "\(folder)/regions/\(region.name)"
  }

  /// Opens the stream of a region in the folder of its own.
  ///
  /// - Throws: ``StoreError/otherStream(folder:expected:found:)`` when it is another's.
  package static func open(
    folder: String, region: Region, mode: LogMode, catalog: CatalogID? = nil,
    options: LogOptions = LogOptions()
  ) throws(StoreError) -> RegionEventLog {
    RegionEventLog(
      try EventLog.open(
        folder: folder, mode: mode, catalog: catalog, options: options, provesEnd: false,
        region: region), of: region)
  }

  /// Opens the stream of a region for writing, and makes it where there is none.
  package static func openOrCreate(
    folder: String, region: Region, catalog: CatalogID, options: LogOptions = LogOptions()
  ) throws(StoreError) -> RegionEventLog {
    do throws(StoreError) {
      return try open(
        folder: folder, region: region, mode: .readWrite, catalog: catalog, options: options)
    } catch .noLog {
      return RegionEventLog(
        try EventLog.create(folder: folder, catalog: catalog, options: options, region: region),
        of: region)
    }
  }

  package func firstPosition() throws(StoreError) -> LogPosition { try log.firstPosition() }

  package func lastPosition() throws(StoreError) -> LogPosition { try log.lastPosition() }

  package func writtenHead() throws(StoreError) -> (position: LogPosition, hash: EntryHash)? {
    try log.writtenHead().map { ($0.position, $0.hash) }
  }

  package func entries(
    from start: LogPosition, maxCount: Int, maxBytes: Int
  ) throws(StoreError) -> [EncodedEntry] {
    try log.entries(from: start, maxCount: maxCount, maxBytes: maxBytes)
  }

  package func entry(at position: LogPosition) throws(StoreError) -> EncodedEntry? {
    try log.entry(at: position)
  }

  package var dedupeWindow: UInt64 { log.dedupeWindow }

  package func knownCommand(at position: LogPosition) throws(StoreError) -> KnownCommand? {
    try log.knownCommand(at: position)
  }

  package func scanCommands(_ body: (LogPosition, CommandID) -> Bool) throws(StoreError) {
    try log.scanCommands(body)
  }

  package func commandWindow(through last: LogPosition) throws(StoreError) -> CommandWindow {
    try log.commandWindow(through: last)
  }

  package func append(
    _ entries: [EncodedEntry], fingerprints: [CommandID: ChangeFingerprint]
  ) throws(StoreError) {
    try log.append(entries, fingerprints: fingerprints)
  }

  package func goOn(after state: RegionState) {
    log.writerTail.withLock {
      $0 = EventLog.Tail(position: state.appliedThrough, hash: state.lastHash, version: .zero)
    }
  }

  package func base() throws(StoreError) -> RegionState? {
    let (environment, tables) = (log.environment, log.tables)
    var records: [RegionRecord] = []
    let header = try environment.read { transaction throws(StoreError) -> BaseHeader? in
      guard let header = try log.baseHeader(in: transaction) else { return nil }
      var next: UInt64 = 0
      try transaction.scan(tables.base, from: 0) { (key, bytes) throws(StoreError) in
        guard UInt64(key: key) == next else {
          throw .baseDamaged("chunk \(next) of its records is missing")
        }
        next += 1
        do {
          try RegionRecord.decode(bytes) { records.append($0) }
        } catch {
          throw .baseDamaged("chunk \(next - 1) of its records: \(error)")
        }
        return true
      }
      return header
    }
    guard let header else { return nil }
    guard header.routeCount == UInt64(records.count), header.version == .zero else {
      throw .baseDamaged("it has \(records.count) records, its header says \(header.routeCount)")
    }
    do {
      return try RegionState(
        restoring: RegionHeader(
          catalog: catalog, region: region, position: header.position, hash: header.hash,
          time: header.time, digest: header.digest), records: records)
    } catch {
      throw .baseDamaged("\(error)")
    }
  }

  package func begin(after state: RegionState) throws(StoreError) {
    try log.checkWritable()
    let (header, chunks) = (baseHeader(of: state), Self.chunks(of: state))
    try log.environment.write { transaction throws(StoreError) in
      try put(header, chunks, in: transaction)
    }
  }

  package func install(
    base state: RegionState, commands: CommandWindow
  ) throws(StoreError) {
    try log.checkWritable()
    guard state.catalog == catalog else {
      throw .otherCatalog(expected: catalog, found: state.catalog)
    }
    let (header, chunks) = (baseHeader(of: state), Self.chunks(of: state))
    let head = EventLog.Tail(
      position: state.appliedThrough, hash: state.lastHash, version: .zero)
    log.writerTail.withLock { $0 = nil }
    try log.environment.write { transaction throws(StoreError) in
      try transaction.removeAll(from: log.tables.entries)
      try transaction.removeAll(from: log.tables.commands)
      try log.put(commands, in: transaction)
      try put(header, chunks, in: transaction)
      try log.put(head, in: transaction)
    }
    log.writerTail.withLock { $0 = head }
  }

  private func baseHeader(of state: RegionState) -> BaseHeader {
    BaseHeader(
      StateHeader(
        catalog: catalog, position: state.appliedThrough, hash: state.lastHash,
        time: state.lastTime, version: .zero, nextRouteID: RouteID(0), digest: state.digest),
      routeCount: state.recordCount)
  }

  private func put(
    _ header: BaseHeader, _ chunks: [[UInt8]], in transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) {
    let tables = log.tables
    try header.bytes.withRawBytes { (bytes) throws(StoreError) in
      try transaction.put(bytes, for: LogTables.MetaKey.base, in: tables.meta)
    }
    try transaction.removeAll(from: tables.base)
    for (index, chunk) in chunks.enumerated() {
      try chunk.withRawBytes { (bytes) throws(StoreError) in
        try transaction.append(bytes, for: UInt64(index), in: tables.base)
      }
    }
  }

  /// The records of a state; a chunk ends with the one that takes it to 65,536 bytes.
  package static func chunks(of state: RegionState) -> [[UInt8]] {
    var chunks: [[UInt8]] = []
    state.forEachRecord { record in
      if (chunks.last?.count ?? .max) < RouteChunk.targetByteCount {
        chunks[chunks.count - 1] += record.bytes
      } else {
        chunks.append(record.bytes)
      }
    }
    return chunks
  }

  package func removeTrimmed(limit: Int) throws(StoreError) -> Int {
    try log.removeTrimmed(limit: limit)
  }

  /// Lets others write the folder. Reads go on as long as the log is referred to.
  package func releaseForWriting() { log.releaseForWriting() }
}
