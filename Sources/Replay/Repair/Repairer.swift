import Catalog
import Glibc
import StateMachines
import Synchronization

/// Repairs a log and its checkpoints from a peer that has the same history.
///
/// The log is walked from its end to its beginning: the note of the end names the hash of the last
/// entry, and each entry the hash of the one before it. So every entry is proven, one that is here as
/// well as one that the peer gave; only those that are missing or not what was written are asked for.
/// What is proven goes to a new file, with its indexes made anew, and the new file takes the place of
/// the damaged one by a rename; that one is kept beside it. Nothing is changed before all is proven.
package struct Repairer {
  /// The name that a damaged file is kept under.
  static let asideSuffix = ".damaged"
  static let workFolderName = "repair"

  /// Told now and then which entry was looked at, of how many.
  package var onProgress: ((ReplayProgress) -> Void)?

  let folder: String
  let peer: any RepairPeer

  package init(folder: String, from peer: any RepairPeer) {
    self.folder = folder
    self.peer = peer
  }

  /// Looks for damage and, unless it is a `dryRun`, repairs it.
  ///
  /// - Throws: ``StoreError/unproven(_:_:)`` when what the peer has is another history's;
  ///   ``StoreError/notRetained(_:first:)`` and ``StoreError/gap(expected:found:)`` when it does not
  ///   have what is needed. Nothing was changed then.
  package func repair(dryRun: Bool) throws(StoreError) -> RepairReport {
    // Readers may stay; they go over to the new file.
    let lock = dryRun ? nil : try FolderLock(folder: folder)
    defer { withExtendedLifetime(lock) {} }
    var report = RepairReport()
    if let proven = try examine(&report), !dryRun {
      try replace(with: proven, &report)
    }
    if !dryRun || report.lostFile == nil && report.damagedEntries.isEmpty {
      try repairCheckpoints(dryRun: dryRun, &report)
    }
    if !dryRun { removeWork() }
    if !dryRun || report.isSound {
      let log = try EventLog.open(folder: folder, mode: .readOnly, provesEnd: false)
      report.summary = try Verifier(log).verify()
    }
    return report
  }

  /// What a new file is made of.
  struct Proven {
    var catalog: CatalogID
    /// The file as it is; nil when it is of no use.
    var damaged: DamagedLog?
    /// What the log begins after.
    var base: BaseHeader?
    var baseRoot: CatalogVersion?
    var head: EventLog.Tail
    /// Entries that the peer gave.
    var fetched: [LogPosition: EncodedEntry] = [:]
  }

  /// Looks at everything; nil when the log is as it was written.
  private func examine(_ report: inout RepairReport) throws(StoreError) -> Proven? {
    let damaged: DamagedLog
    do throws(StoreError) {
      damaged = try DamagedLog(folder: folder)
    } catch {
      switch error {
      case .permissionDenied, .newerFormat, .inUse, .openForReading, .diskFull: throw error
      default: break
      }
      report.lostFile = error.problem
      return try whole(of: peer, &report)
    }
    let found = try peer.catalog()
    guard damaged.catalog == found else {
      throw .otherCatalog(expected: damaged.catalog, found: found)
    }
    var proven = Proven(
      catalog: damaged.catalog, damaged: damaged, base: try damaged.base(),
      baseRoot: damaged.baseRoot(),
      head: EventLog.Tail(position: .zero, hash: .genesis(of: found), version: .zero))
    if let head = damaged.head() {
      proven.head = head
    } else {
      report.hasHeadOfPeer = true
      report.otherDamage = "the note of what was written last is missing"
      proven.head = try peer.extent().end
    }
    try walk(&proven, &report)
    if report.damagedEntries.isEmpty, report.otherDamage == nil {
      do throws(StoreError) {
        let log = try EventLog.open(folder: folder, mode: .readOnly, provesEnd: false)
        _ = try Verifier(log).verify()
        return nil
      } catch {
        // A checkpoint that is the log's beginning is repaired by itself.
        if case .baseDamaged = error, proven.baseRoot != nil { return nil }
        if case .poisoned = error { throw error }
        report.otherDamage = error.problem
      }
    }
    return proven
  }

  /// Proves the entries from the end to the beginning.
  private func walk(_ proven: inout Proven, _ report: inout RepairReport) throws(StoreError) {
    guard let damaged = proven.damaged else { return }
    let start = proven.base?.position ?? .zero
    var expected = proven.head.hash
    var position = proven.head.position
    let total = position.rawValue - min(position.rawValue, start.rawValue)
    while position > start {
      let bytes = damaged.bytes(at: position)
      if let bytes, bytes.withUnsafeBytes({ EntryHash(of: $0) }) == expected,
        let header = bytes.withUnsafeBytes({ try? LogEntryHeader(decoding: $0) })
      {
        expected = header.previous
      } else {
        report.add(damaged: position)
        if proven.fetched[position] == nil {
          try fetch(through: position, after: start, &proven, &report)
        }
        guard let entry = proven.fetched[position] else {
          throw .gap(expected: position, found: position.next)
        }
        guard entry.hash == expected else {
          throw .unproven(position, .forked(position, applied: expected, found: entry.hash))
        }
        expected = entry.entry.previous
      }
      if position.rawValue % 8_192 == 0 {
        onProgress?(
          ReplayProgress(
            entryCount: proven.head.position.rawValue - position.rawValue, entryTotal: total,
            byteCount: 0, position: position))
      }
      position = LogPosition(position.rawValue - 1)
    }
    let beginning = proven.base?.hash ?? .genesis(of: proven.catalog)
    guard expected == beginning else {
      throw .unproven(
        start.next, .brokenChain(start.next, expected: beginning, found: expected))
    }
  }

  /// Asks the peer for the entry at a position, and for those before it that cannot be read either.
  private func fetch(
    through last: LogPosition, after start: LogPosition, _ proven: inout Proven,
    _ report: inout RepairReport
  ) throws(StoreError) {
    var before = LogPosition(last.rawValue - 1)
    while before > start, last.rawValue - before.rawValue < 1_024,
      !(proven.damaged?.bytes(at: before).map(Self.isEntry) ?? false)
    {
      before = LogPosition(before.rawValue - 1)
    }
    while before < last {
      let entries = try peer.entries(after: before, through: last)
      guard let end = entries.last?.entry.position, end > before else {
        throw .gap(expected: before.next, found: last.next)
      }
      for entry in entries {
        proven.fetched[entry.entry.position] = entry
        report.fetchedEntryCount += 1
        report.fetchedByteCount += entry.bytes.count
      }
      before = end
    }
  }

  private static func isEntry(_ bytes: [UInt8]) -> Bool {
    bytes.withUnsafeBytes { (try? LogEntry(decoding: $0)) != nil }
  }

  /// A log that is made of the peer's alone: nothing here says what it was.
  private func whole(
    of peer: any RepairPeer, _ report: inout RepairReport
  ) throws(StoreError) -> Proven {
    let (_, end) = try peer.extent()
    report.hasHeadOfPeer = true
    return Proven(catalog: try peer.catalog(), head: end)
  }
}

// MARK: The new file

extension Repairer {
  private func replace(
    with proven: Proven, _ report: inout RepairReport
  ) throws(StoreError) {
    let work = folder + "/" + Self.workFolderName
    removeWork()
    try make(work, proven, &report)
    let file = folder + "/data.mdb"
    if access(file, F_OK) == 0 {
      unlink(file + Self.asideSuffix)
      if link(file, file + Self.asideSuffix) == 0 { report.setAside = file + Self.asideSuffix }
    }
    guard rename(work + "/data.mdb", file) == 0 else {
      throw .system(operation: "rename to \(file)", code: errno, message: errorText(errno))
    }
    // It counts the transactions of the file that is gone.
    unlink(folder + "/lock.mdb")
    try Folder.sync(folder)
    removeWork()
  }

  /// Removes what a repair makes on the way, also one that was broken off.
  func removeWork() {
    let work = folder + "/" + Self.workFolderName
    let draft = work + "/" + CheckpointStore.folderName
    for name in ["data.mdb", "lock.mdb"] { unlink(draft + "/" + name) }
    rmdir(draft)
    for name in ["data.mdb", "lock.mdb", "writer.lock"] { unlink(work + "/" + name) }
    rmdir(work)
  }

  /// Writes what is proven to a log in another folder.
  private func make(
    _ work: String, _ proven: Proven, _ report: inout RepairReport
  ) throws(StoreError) {
    let log = try EventLog.create(folder: work, catalog: proven.catalog)
    defer { log.releaseForWriting() }
    var position = try begin(log, proven, &report)
    while position < proven.head.position {
      var slice: [EncodedEntry] = []
      var fingerprints: [CommandID: ChangeFingerprint] = [:]
      var byteCount = 0
      if proven.damaged == nil {
        slice = try peer.entries(after: position, through: proven.head.position)
        report.fetchedEntryCount += UInt64(slice.count)
        report.fetchedByteCount += slice.reduce(0) { $0 + $1.bytes.count }
      } else {
        while slice.count < 4_096, byteCount < 16 << 20,
          position.rawValue + UInt64(slice.count) < proven.head.position.rawValue
        {
          let entry = try self.entry(
            at: LogPosition(position.rawValue + UInt64(slice.count) + 1), proven)
          fingerprints[entry.entry.command] = proven.damaged?.fingerprint(
            of: entry.entry.command, at: entry.entry.position)
          byteCount += entry.bytes.count
          slice.append(entry)
        }
      }
      guard let last = slice.last else {
        throw .gap(expected: position.next, found: proven.head.position)
      }
      try log.append(slice, fingerprints: fingerprints)
      position = last.entry.position
    }
    let tail = try log.tail()
    guard tail.hash == proven.head.hash else {
      throw .damaged(tail.position, .notTheHead(proven.head.hash))
    }
    // What the folder was before its file was lost nobody knows: two leaders would be worse.
    guard let damaged = proven.damaged else { return try log.setKeeper(.mirrored) }
    let mark = damaged.meta(LogTables.MetaKey.role).map { String(decoding: $0, as: UTF8.self) }
    try log.setKeeper(LogKeeper(mark: mark) ?? .mirrored)
  }

  private func entry(
    at position: LogPosition, _ proven: Proven
  ) throws(StoreError) -> EncodedEntry {
    if let fetched = proven.fetched[position] { return fetched }
    guard let bytes = proven.damaged?.bytes(at: position) else {
      throw .gap(expected: position, found: position.next)
    }
    return try bytes.withRawBytes { (bytes) throws(StoreError) in
      try EventLog.decode(bytes, at: position)
    }
  }

  /// Lets the new log begin where the old one did; the position before its first entry.
  private func begin(
    _ log: EventLog, _ proven: Proven, _ report: inout RepairReport
  ) throws(StoreError) -> LogPosition {
    guard proven.damaged != nil else {
      // The chain of the entries after it tells that it is the right one.
      guard let state = try peer.beginning() else { return .zero }
      try log.install(base: state, commands: try peer.commands(through: state.appliedThrough))
      report.hasFetchedBase = true
      report.fetchedRouteCount = UInt64(state.routes.count)
      return state.appliedThrough
    }
    guard let base = proven.base else { return .zero }
    let commands = try commands(before: base, proven)
    if let root = proven.baseRoot {
      try log.beginAnew(after: base, inRoot: root, commands: commands)
      return base.position
    }
    let old = try? EventLog.open(folder: folder, mode: .readOnly, provesEnd: false).base()
    if let state = old.flatMap({ $0 }), state.header == base.state(of: proven.catalog) {
      try log.install(base: state, commands: commands)
    } else {
      try log.install(
        base: try fetchBase(base, of: proven.catalog, &report), commands: commands)
    }
    return base.position
  }

  /// What was remembered of commands from before the log's beginning; where that cannot be read, what
  /// the peer knows.
  private func commands(
    before base: BaseHeader, _ proven: Proven
  ) throws(StoreError) -> CommandWindow {
    guard let damaged = proven.damaged else { return CommandWindow() }
    let known = damaged.commands(before: base)
    if known.isWhole { return known.commands }
    return try peer.commands(through: base.position)
  }

  /// The state that a log begins after, from the peer; proven by the header's digest.
  func fetchBase(
    _ base: BaseHeader, of catalog: CatalogID, _ report: inout RepairReport
  ) throws(StoreError) -> CatalogState {
    let (routes, members) = try peer.contents(of: base.state(of: catalog))
    report.hasFetchedBase = true
    report.fetchedRouteCount = UInt64(routes.count)
    do {
      return try CatalogState(
        restoring: base.state(of: catalog), routes: routes, membership: members)
    } catch {
      throw .baseDamaged("what \(peer.name) has in its place is another state: \(error)")
    }
  }
}

extension EventLog {
  /// Lets a new log begin after the state of a checkpoint.
  fileprivate func beginAnew(
    after header: BaseHeader, inRoot version: CatalogVersion, commands: CommandWindow
  ) throws(StoreError) {
    let head = Tail(position: header.position, hash: header.hash, version: header.version)
    writerTail.withLock { $0 = nil }
    try environment.write { transaction throws(StoreError) in
      try raiseFormat(to: Self.rememberingFormat, in: transaction)
      try put(commands, in: transaction)
      try header.bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: LogTables.MetaKey.base, in: tables.meta)
      }
      try version.rawValue.withStoredBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: LogTables.MetaKey.baseRoot, in: tables.meta)
      }
      try put(head, in: transaction)
    }
    writerTail.withLock { $0 = head }
  }
}
