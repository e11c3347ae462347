import Catalog
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// A command is carried out once within the dedupe window, whatever was trimmed, and whatever the log
/// was made of.
@Suite struct RememberedCommandTests {
  let folder = TemporaryFolder()
  let clock = TestClock()
  private var path: String { folder.appending("log") }

  private func options(_ role: StoreRole = .leader) -> StoreOptions {
    var options = StoreOptions(role: role)
    options.checkpoints = .onRequest
    options.commitsToCheckpoints = false
    options.log.initialMapSize = 64 << 10
    return options
  }

  private func open(_ path: String, _ role: StoreRole = .leader) throws -> CatalogStore {
    try CatalogStore.open(
      folder: path, options: options(role), wallMilliseconds: clock.read)
  }

  private func change(_ number: UInt64) -> RouteChange {
    number == 1 ? oneRoute : split(padded(number))
  }

  /// A log of 60 commands that begins after the 40th, with what each was told.
  private func trimmed() async throws -> [Receipt] {
    let store = try CatalogStore.create(
      folder: path, catalog: testCatalog, options: options(), wallMilliseconds: clock.read)
    var receipts: [Receipt] = []
    for number in UInt64(1)...60 {
      receipts.append(try await store.submit(command(number, change(number))))
      if number == 20 || number == 40 { _ = try await store.checkpointNow() }
    }
    for version in [UInt64(20), 40] { try trim(store, through: version) }
    #expect(try store.firstPosition() == LogPosition(41))
    store.close()
    return receipts
  }

  private func trim(_ store: CatalogStore, through version: UInt64) throws {
    let position = try #require(try store.position(of: CatalogVersion(version + 1)))
    let time = try store.entries(from: position, maxCount: 1)[0].entry.time
    var policy = RetentionPolicy.everything
    policy.log = .seconds(1)
    _ = try store.trim(policy, nowMilliseconds: time.milliseconds + 1_000, compacting: .always) {
      () throws(StoreError) in
      try SigningKeyFile.loadOrMake(in: path) { [UInt8](repeating: 7, count: 32) }
    }
  }

  /// That the store answers each command as it was answered, and does nothing.
  private func expectKnown(
    _ receipts: [Receipt], by path: String, hasFingerprints: Bool = true, _ comment: Comment? = nil
  ) async throws {
    let log = try EventLog.open(folder: path, mode: .readWrite)
    try log.setMirror(false)
    log.releaseForWriting()
    let store = try open(path)
    #expect(store.condition == nil, comment)
    let end = store.current.appliedThrough
    for receipt in receipts {
      let number = receipt.position.rawValue
      var expected = receipt
      expected.outcome = .repeated
      #expect(try await store.submit(command(number, change(number))) == expected, comment)
      #expect(try store.receipt(of: receipt.command) == expected, comment)
      guard hasFingerprints else { continue }
      await #expect(
        throws: CommandFailure.commandIDReused(receipt.command, position: receipt.position), comment
      ) { try await store.submit(command(number, split("another"))) }
    }
    #expect(store.current.appliedThrough == end, comment)
    store.close()
    #expect(throws: Never.self, comment) {
      try Verifier(EventLog.open(folder: path, mode: .readOnly)).verify()
    }
  }

  @Test func aTrimKeepsThem() async throws {
    let receipts = try await trimmed()
    try await expectKnown(receipts, by: path)
    let log = try EventLog.open(folder: path, mode: .readOnly)
    #expect(try log.commandWindow(through: LogPosition(60)).records.count == 60)
    #expect(try log.commandWindow(through: LogPosition(50)).records.last?.position.rawValue == 50)
  }

  /// While the store is open: what is known does not hang on the index being made anew.
  @Test func aStoreThatTrimsGoesOnKnowingThem() async throws {
    let store = try CatalogStore.create(
      folder: path, catalog: testCatalog, options: options(), wallMilliseconds: clock.read)
    for number in UInt64(1)...30 {
      _ = try await store.submit(command(number, change(number)))
      if number == 20 { _ = try await store.checkpointNow() }
    }
    #expect(try await store.submit(command(7, change(7))).outcome == .repeated)
    try trim(store, through: 20)
    for number in UInt64(1)...30 {
      let receipt = try await store.submit(command(number, change(number)))
      #expect(receipt.outcome == .repeated && receipt.position == LogPosition(number))
    }
    store.close()
  }

  @Test func aMirrorThatIsMadeOfTheLogKnowsThem() async throws {
    let receipts = try await trimmed()
    let log = try EventLog.open(folder: path, mode: .readOnly)
    let target = folder.appending("mirror")
    try Replayer(log).rebuild(try EventLog.create(folder: target, catalog: testCatalog))
    try await expectKnown(receipts, by: target)
  }

  @Test func aLearnerThatTakesOverAStateKnowsThem() async throws {
    let receipts = try await trimmed()
    let source = try open(path)
    let root = try #require(try await source.checkpointNow())
    let sent = try source.commandWindow(through: root.position)
    let target = folder.appending("learner")
    let learner = try CatalogStore.create(
      folder: target, catalog: testCatalog, options: options(.learner),
      wallMilliseconds: clock.read)
    let state = source.current
    try learner.installState(
      state, commands: try .received(sent.bytes, hash: sent.hash, with: state.header))
    learner.close()
    source.close()
    try await expectKnown(receipts, by: target)
  }

  @Test func whatCameWithAStateIsLookedAt() async throws {
    _ = try await trimmed()
    let log = try EventLog.open(folder: path, mode: .readOnly)
    let header = try Replayer(log).replay().header
    let sent = try log.commandWindow(through: header.position)
    for index in stride(from: 0, to: sent.bytes.count, by: 7) {
      var bytes = sent.bytes
      bytes[index] ^= 1
      #expect(throws: StoreError.self) {
        try CommandWindow.received(bytes, hash: sent.hash, with: header)
      }
    }
    // Records from after the state, or out of order, whatever sum they have.
    var earlier = header
    earlier.position = LogPosition(59)
    #expect(throws: StoreError.self) {
      try CommandWindow.received(sent.bytes, hash: sent.hash, with: earlier)
    }
    let backwards = CommandWindow(sent.records.reversed())
    #expect(throws: StoreError.self) {
      try CommandWindow.received(backwards.bytes, hash: backwards.hash, with: header)
    }
  }

  @Test(arguments: [false, true]) func anExportHasThem(isCatalog: Bool) async throws {
    let receipts = try await trimmed()
    let log = try EventLog.open(folder: path, mode: .readOnly)
    let file = folder.appending("export")
    let exporter = Exporter(log, checkpoints: nil)
    let manifest =
      isCatalog
      ? try exporter.exportCatalog(at: CatalogVersion(60), to: file).manifest
      : try exporter.exportLog(to: file).manifest
    #expect(manifest.commandCount == (isCatalog ? 60 : 40))
    let target = folder.appending("restored")
    #expect(try Restorer().restore(file, into: target) == manifest)
    try await expectKnown(receipts, by: target)
  }

  @Test func aRepairKeepsThem() async throws {
    let receipts = try await trimmed()
    let peer = folder.appending("peer")
    do {
      let log = try EventLog.open(folder: path, mode: .readOnly)
      try Replayer(log).rebuild(try EventLog.create(folder: peer, catalog: testCatalog))
    }
    // An entry is damaged: what is known stays as it is.
    try damage { log, transaction throws(StoreError) in
      try transaction.remove(50, from: log.tables.entries)
    }
    let report = try Repairer(folder: path, from: FolderPeer(folder: peer)).repair(dryRun: false)
    #expect(report.damagedEntries == [LogPosition(50)...LogPosition(50)])
    try await expectKnown(receipts, by: path, "an entry")
    // What is known is damaged: the peer knows it too.
    for number in UInt64(0)..<3 {
      try damage { log, transaction throws(StoreError) in
        guard let table = log.tables.remembered else { throw .noLog(folder: path) }
        switch number {
        case 0: try transaction.remove(17, from: table)
        case 1: try transaction.remove(40, from: table)
        default:
          try [1, 2, 3].withRawBytes { (bytes) throws(StoreError) in
            try transaction.put(bytes, for: 17, in: table)
          }
        }
      }
      #expect(throws: StoreError.self) {
        try Verifier(EventLog.open(folder: path, mode: .readOnly)).verify()
      }
      let report = try Repairer(folder: path, from: FolderPeer(folder: peer)).repair(dryRun: false)
      #expect(report.otherDamage != nil)
      try await expectKnown(receipts, by: path, "damage \(number)")
    }
    // The file is lost.
    unlink(path + "/data.mdb")
    unlink(path + "/lock.mdb")
    _ = try Repairer(folder: path, from: FolderPeer(folder: peer)).repair(dryRun: false)
    try await expectKnown(receipts, by: path, "the file")
  }

  private func damage(
    _ body: (EventLog, borrowing LMDB.WriteTransaction) throws(StoreError) -> Void
  ) throws {
    let log = try EventLog.open(folder: path, mode: .readWrite)
    try log.environment.write { transaction throws(StoreError) in try body(log, transaction) }
    log.releaseForWriting()
  }

  /// A root that is never loaded.
  private func root(of state: CatalogState) -> CheckpointRoot {
    CheckpointRoot(
      header: state.header, routeCount: state.routes.count,
      trees: Array(
        repeating: StoredTree(root: nil, height: 0, count: 0), count: CheckpointRoot.treeCount),
      nodes: 1..<1)
  }

  /// The window is one of positions: what is further back is forgotten, trimmed or not.
  @Test(arguments: testSeeds(count: 6))
  func theWindowBoundsThem(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var options = LogOptions()
    options.dedupeWindow = UInt64.random(in: 5...40, using: &generator)
    let (entries, _) = try makeEntries(120)
    var state = CatalogState(catalog: testCatalog)
    let log = try EventLog.create(folder: path, catalog: testCatalog, options: options)
    var next = 0
    while next < entries.count {
      let count = min(Int.random(in: 1...9, using: &generator), entries.count - next)
      let slice = Array(entries[next..<next + count])
      try log.append(slice)
      for entry in slice { try state.evolve(entry) }
      next += count
      if generator.oneIn(4) {
        try log.begin(after: root(of: state), policy: "a test")
      }
      // Perhaps not all of it: a crash came.
      for _ in 0..<Int.random(in: 0...2, using: &generator) {
        _ = try log.removeTrimmed(limit: Int.random(in: 1...12, using: &generator))
      }
      var known: [UInt64] = []
      try log.scanCommands { position, command in
        #expect(command == entries[Int(position.rawValue) - 1].entry.command, "seed \(seed)")
        known.append(position.rawValue)
        return true
      }
      let first = UInt64(next) > options.dedupeWindow ? UInt64(next) - options.dedupeWindow + 1 : 1
      #expect(known == Array(first...UInt64(next)), "seed \(seed)")
      for position in known {
        let record = try #require(try log.knownCommand(at: LogPosition(position))).record
        #expect(
          record == CommandRecord(entries[Int(position) - 1].entry, fingerprint: nil),
          "seed \(seed)")
      }
    }
  }

  /// A log of an earlier release has no table for them, and gets it when it is opened to be written.
  @Test func aLogOfAnEarlierReleaseGetsThem() throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    let (entries, _) = try makeEntries(30)
    do {
      let environment = try LMDB.Environment(folder: path, mode: .readWrite)
      try environment.makeTables { transaction throws(StoreError) in
        let meta = try transaction.table("meta", of: String.self)
        for name in ["entries", "versions", "commands", "base"] {
          _ = try transaction.table(name, of: UInt64.self)
        }
        try UInt32(1).withStoredBytes { (bytes) throws(StoreError) in
          try transaction.put(bytes, for: "format", in: meta)
        }
        try testCatalog.bytes.withRawBytes { (bytes) throws(StoreError) in
          try transaction.put(bytes, for: "catalog", in: meta)
        }
      }
      environment.close()
    }
    #expect(try EventLog.open(folder: path, mode: .readOnly).tables.remembered == nil)
    let log = try EventLog.open(folder: path, mode: .readWrite)
    try log.append(entries)
    #expect(try format(of: log) == 1)
    try log.begin(after: root(of: try stateAfter(20, of: entries)), policy: "a test")
    #expect(try format(of: log) == 4)
    #expect(try log.removeTrimmed(limit: 100) == 20)
    #expect(try log.commandWindow(through: LogPosition(30)).records.count == 30)
    #expect(try log.knownCommand(at: LogPosition(20))?.entry == nil)
    #expect(try log.knownCommand(at: LogPosition(21))?.entry == entries[20])
  }

  private func format(of log: EventLog) throws -> UInt32? {
    try log.environment.read { transaction throws(StoreError) in
      try transaction.value(of: "format", in: log.tables.meta) { UInt32(stored: $0) }
    }.flatMap { $0 }
  }
}
