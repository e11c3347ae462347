import Catalog
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Replay

@Suite struct EventLogTests {
  let folder = TemporaryFolder()

  @Test func entriesSurviveReopening() throws {
    let (entries, state) = try makeEntries(30)
    do {
      let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
      #expect(try log.tail().position == .zero)
      #expect(try log.firstPosition() == LogPosition(1))
      try log.append(Array(entries[..<1]))
      try log.append(Array(entries[1..<20]))
      try log.append(Array(entries[20...]))
      try log.append([])
    }
    let log = try EventLog.open(folder: folder.path, mode: .readOnly)
    #expect(log.catalog == testCatalog)
    let tail = try log.tail()
    #expect(tail.position == LogPosition(30))
    #expect(tail.hash == state.lastHash)
    #expect(tail.version == state.version)
    #expect(try log.entries(from: LogPosition(1), maxCount: 100) == entries)
    #expect(try log.entries(from: LogPosition(7), maxCount: 3) == Array(entries[6..<9]))
    #expect(try log.entryBytes(from: LogPosition(30), maxCount: 9) == [entries[29].bytes])
    #expect(try log.entries(from: LogPosition(31), maxCount: 9).isEmpty)
    #expect(try log.entries(from: LogPosition(5), maxCount: 9, maxBytes: 1).count == 1)
    #expect(try log.entry(at: LogPosition(12)) == entries[11])
    #expect(try log.entry(at: LogPosition(31)) == nil)
    #expect(try log.position(of: CatalogVersion(12)) == LogPosition(12))
    #expect(try log.position(of: CatalogVersion(31)) == nil)
    #expect(try log.entry(of: commandID(8)) == entries[7])
    #expect(try log.entry(of: commandID(99)) == nil)
  }

  @Test func positionsAreFoundByTime() throws {
    let (entries, _) = try makeEntries(20)
    let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
    #expect(try log.position(at: HybridTimestamp(UInt64.max)) == nil)
    try log.append(entries)
    let first = entries[0].entry.time.rawValue
    #expect(try log.position(at: HybridTimestamp(first - 1)) == nil)
    for entry in entries.map(\.entry) {
      #expect(try log.position(at: entry.time) == entry.position)
    }
    #expect(try log.position(at: HybridTimestamp(UInt64.max)) == LogPosition(20))
  }

  @Test func anAppendContinuesTheLogOrIsRefused() throws {
    let (entries, _) = try makeEntries(5)
    let other = try makeEntries(5, catalog: catalogID("another catalog1")).entries
    let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
    try log.append(Array(entries[..<2]))
    #expect(throws: StoreError.gap(expected: LogPosition(3), found: LogPosition(4))) {
      try log.append([entries[3]])
    }
    #expect(throws: StoreError.gap(expected: LogPosition(3), found: LogPosition(2))) {
      try log.append([entries[1]])
    }
    #expect(throws: StoreError.damaged(LogPosition(3), .brokenChain)) {
      try log.append([other[2]])
    }
    #expect(throws: StoreError.damaged(LogPosition(4), .brokenChain)) {
      try log.append([entries[2], other[3]])
    }
    #expect(try log.tail().position == LogPosition(2))
    try log.append(Array(entries[2...]))
    #expect(try log.entries(from: LogPosition(1), maxCount: 9) == entries)
  }

  // MARK: Opening

  @Test func openingWhatIsNotThereLeavesNothingBehind() throws {
    let missing = folder.appending("missing")
    for mode in [LogMode.readOnly, .readWrite] {
      #expect(throws: StoreError.noLog(folder: missing)) {
        try EventLog.open(folder: missing, mode: mode)
      }
    }
    #expect(!FileManager.default.fileExists(atPath: missing))
    try FileManager.default.createDirectory(
      atPath: missing, withIntermediateDirectories: true)
    for mode in [LogMode.readOnly, .readWrite] {
      #expect(throws: StoreError.noLog(folder: missing)) {
        try EventLog.open(folder: missing, mode: mode)
      }
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: missing).isEmpty)
  }

  @Test func aFolderIsMadeWithAllThatLeadToIt() throws {
    let deep = folder.appending("a/b/c")
    _ = try EventLog.create(folder: deep, catalog: testCatalog)
    #expect(try EventLog.open(folder: deep + "/", mode: .readOnly).catalog == testCatalog)
    #expect(throws: StoreError.logExists(folder: deep)) {
      try EventLog.create(folder: deep, catalog: testCatalog)
    }
  }

  @Test func whatIsNotALogIsNamedSo() throws {
    try FileManager.default.createDirectory(
      atPath: folder.path, withIntermediateDirectories: true)
    let garbage = Data((0..<20_000).map { UInt8(truncatingIfNeeded: $0 &* 37) })
    try garbage.write(to: URL(filePath: folder.appending("data.mdb")))
    for mode in [LogMode.readOnly, .readWrite] {
      #expect(throws: StoreError.notALog(folder: folder.path)) {
        try EventLog.open(folder: folder.path, mode: mode)
      }
    }
    let file = folder.appending("file")
    try garbage.write(to: URL(filePath: file))
    #expect(throws: StoreError.notALog(folder: file)) {
      try EventLog.create(folder: file, catalog: testCatalog)
    }
  }

  @Test func anotherProgramsTablesAreNotALog() throws {
    try FileManager.default.createDirectory(
      atPath: folder.path, withIntermediateDirectories: true)
    do {
      let lease = try EnvironmentRegistry.lease(
        folder: folder.path, mode: .readWrite, sizes: LMDB.MapSize())
      try lease.environment.write { transaction throws(StoreError) in
        _ = try transaction.table("somebody's", of: String.self)
      }
    }
    #expect(throws: StoreError.notALog(folder: folder.path)) {
      try EventLog.open(folder: folder.path, mode: .readWrite)
    }
    #expect(throws: StoreError.notALog(folder: folder.path)) {
      try EventLog.create(folder: folder.path, catalog: testCatalog)
    }
  }

  @Test func aLaterFormatIsRefused() throws {
    do {
      let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
      try log.environment.write { transaction throws(StoreError) in
        try UInt32(7).withStoredBytes { (bytes) throws(StoreError) in
          try transaction.put(bytes, for: LogTables.MetaKey.format, in: log.tables.meta)
        }
      }
    }
    #expect(
      throws: StoreError.newerFormat(folder: folder.path, found: 7, supported: EventLog.format)
    ) {
      try EventLog.open(folder: folder.path, mode: .readOnly)
    }
  }

  @Test func aSecondWriterIsToldWhoTheFirstIs() throws {
    let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
    #expect(throws: StoreError.inUse(folder: folder.path, pid: getpid())) {
      try EventLog.open(folder: folder.path, mode: .readWrite)
    }
    // Readers are welcome, and see what is appended meanwhile.
    let reader = try EventLog.open(folder: folder.path, mode: .readOnly)
    let (entries, _) = try makeEntries(3)
    try log.append(entries)
    #expect(try reader.tail().position == LogPosition(3))
    #expect(throws: StoreError.readOnly(folder: folder.path)) { try reader.append(entries) }
    log.releaseForWriting()
    #expect(throws: StoreError.readOnly(folder: folder.path)) { try log.append(entries) }
    _ = try EventLog.open(folder: folder.path, mode: .readWrite)
  }

  @Test func aFolderThatThisProcessReadsIsNotOpenedTwice() throws {
    _ = try EventLog.create(folder: folder.path, catalog: testCatalog)
    do {
      let reader = try EventLog.open(folder: folder.path, mode: .readOnly)
      #expect(throws: StoreError.openForReading(folder: folder.path)) {
        try EventLog.open(folder: folder.path, mode: .readWrite)
      }
      #expect(try reader.tail().position == .zero)
    }
    _ = try EventLog.open(folder: folder.path, mode: .readWrite)
  }

  /// Who still reads a folder that was deleted keeps what it had; who makes it anew gets a new one.
  @Test func aFolderMadeAnewIsAnotherLog() throws {
    let (entries, _) = try makeEntries(3)
    let old = try EventLog.create(folder: folder.path, catalog: testCatalog)
    try old.append(entries)
    try FileManager.default.removeItem(atPath: folder.path)
    let new = try EventLog.create(folder: folder.path, catalog: testCatalog)
    #expect(try new.lastPosition() == .zero)
    #expect(try old.lastPosition() == LogPosition(3))
    try new.append(Array(entries[..<1]))
    let reader = try EventLog.open(folder: folder.path, mode: .readOnly)
    #expect(try reader.lastPosition() == LogPosition(1))
    #expect(try old.lastPosition() == LogPosition(3))
  }

  /// Nothing may turn off what makes an answer durable.
  @Test func commitsAreSynced() throws {
    let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
    #expect(log.environment.syncsCommits)
  }

  @Test func anotherCatalogsLogIsRefused() throws {
    _ = try EventLog.create(folder: folder.path, catalog: testCatalog)
    let other = catalogID("another catalog1")
    #expect(throws: StoreError.otherCatalog(expected: other, found: testCatalog)) {
      try EventLog.open(folder: folder.path, mode: .readOnly, catalog: other)
    }
  }

  @Test(.enabled(if: geteuid() != 0, "root may do anything"))
  func aFolderWithoutPermissionIsNamedSo() throws {
    _ = try EventLog.create(folder: folder.path, catalog: testCatalog)
    chmod(folder.path, 0)
    defer { chmod(folder.path, 0o755) }
    #expect(throws: StoreError.permissionDenied(path: folder.path)) {
      try EventLog.open(folder: folder.path, mode: .readWrite)
    }
  }

  @Test func aFileThatWasCutIsRefused() throws {
    do {
      let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
      try log.append(try makeEntries(400).entries)
    }
    let data = folder.appending("data.mdb")
    #expect(truncate(data, 40_960) == 0)
    for mode in [LogMode.readOnly, .readWrite] {
      #expect {
        try EventLog.open(folder: folder.path, mode: mode)
      } throws: { error in
        guard case StoreError.truncated(_, 40_960, _) = error else { return false }
        return true
      }
    }
  }

  // MARK: Commands

  @Test func commandsAreForgottenBehindTheWindow() throws {
    let (entries, _) = try makeEntries(25)
    var options = LogOptions()
    options.dedupeWindow = 10
    let log = try EventLog.create(folder: folder.path, catalog: testCatalog, options: options)
    try log.append(Array(entries[..<9]))
    try log.append(Array(entries[9..<12]))
    try log.append(Array(entries[12...]))
    for entry in entries.map(\.entry) {
      let isKnown = entry.position > LogPosition(15)
      #expect(try log.entry(of: entry.command)?.entry == (isKnown ? entry : nil))
    }
    let rows = try log.environment.read { transaction throws(StoreError) in
      try transaction.count(of: log.tables.commands)
    }
    #expect(rows == 10)
    #expect(try Verifier(log).verify().entryCount == 25)
  }

  @Test func fingerprintsTellChangesApart() throws {
    let changes: [RouteChange] = [
      oneRoute,
      .bootstrap([RouteSeedRequest(start: .least, group: GroupID(2))]),
      split("a"), split("b"), .split([SplitRequest(route: RouteID(1), at: key("a"))]),
      .split([SplitRequest(at: key("a")), SplitRequest(at: key("b"))]),
      .merge([MergeRequest(left: RouteID(1), right: RouteID(2))]),
      .merge([MergeRequest(left: RouteID(2), right: RouteID(1))]),
      .move([RouteID(1)], to: GroupID(2)), .move([RouteID(1), RouteID(2)], to: GroupID(2)),
      .setState([RouteID(1)], to: .active), .setState([RouteID(1)], to: .softFailed),
      .setAllowedRegions([RouteID(1)], to: []),
      .setAllowedRegions([RouteID(1)], to: [try Region("tokyo")]),
    ]
    #expect(Set(changes.map(ChangeFingerprint.init(of:))).count == changes.count)
    // Logs hold fingerprints: they stay what they are.
    #expect(
      ChangeFingerprint(of: changes[5]).description
        == "ddd17bd2b04d78db056b7f3fa598658e")
  }
}
