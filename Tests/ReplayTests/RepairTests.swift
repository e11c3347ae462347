import Catalog
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// Damage of every kind, and what a repair from a peer makes of it.
@Suite struct RepairTests {
  let folder = TemporaryFolder()
  let clock = TestClock()
  private var path: String { folder.appending("log") }
  private var peerPath: String { folder.appending("peer") }

  private func options() -> StoreOptions {
    var options = StoreOptions()
    options.historyCapacity = 16
    options.checkpoints = .onRequest
    options.commitsToCheckpoints = false  // The peer has the same entries.
    options.log.initialMapSize = 64 << 10
    return options
  }

  /// A log of 100 entries with a checkpoint at every tenth, and its peer; trimmed to begin after
  /// version 40 where that is asked for.
  private func make(trimmed: Bool = false) async throws -> LogSummary {
    let store = try CatalogStore.create(
      folder: path, catalog: testCatalog, options: options(), wallMilliseconds: clock.read)
    for number in UInt64(1)...100 {
      _ = try await store.submit(command(number, number == 1 ? oneRoute : split(padded(number))))
      if number % 10 == 0 { _ = try await store.checkpointNow() }
    }
    do {
      let log = try EventLog.open(folder: path, mode: .readOnly)
      let peer = try EventLog.create(folder: peerPath, catalog: testCatalog)
      try Replayer(log).rebuild(peer)
      if trimmed {
        let time = try #require(try log.entry(at: LogPosition(45))).entry.time
        var policy = RetentionPolicy.everything
        policy.log = .seconds(1)
        _ = try store.trim(policy, nowMilliseconds: time.milliseconds + 1_000) {
          () throws(StoreError) in
          try SigningKeyFile.loadOrMake(in: path) { [UInt8](repeating: 7, count: 32) }
        }
        try Replayer(log).rebuild(peer)
      }
    }
    store.close()
    return try summary()
  }

  private func summary() throws -> LogSummary {
    try Verifier(EventLog.open(folder: path, mode: .readOnly, provesEnd: false)).verify()
  }

  private func change(
    _ body: (EventLog, borrowing LMDB.WriteTransaction) throws(StoreError) -> Void
  ) throws {
    let log = try EventLog.open(folder: path, mode: .readWrite, provesEnd: false)
    try log.environment.write { transaction throws(StoreError) in try body(log, transaction) }
    log.releaseForWriting()
  }

  private func repair(dryRun: Bool = false) throws -> RepairReport {
    try Repairer(folder: path, from: FolderPeer(folder: peerPath)).repair(dryRun: dryRun)
  }

  @Test func aSoundLogIsLeftAlone() async throws {
    let before = try await make()
    let bytes = try Data(contentsOf: URL(filePath: path + "/data.mdb"))
    let report = try repair()
    #expect(report.isSound && report.setAside == nil && report.fetchedEntryCount == 0)
    #expect(report.summary == before)
    #expect(try Data(contentsOf: URL(filePath: path + "/data.mdb")) == bytes)
  }

  @Test(arguments: testSeeds(count: 12))
  func flippedAndMissingEntriesAreFetched(seed: UInt64) async throws {
    var generator = SeededGenerator(seed: seed)
    let before = try await make()
    let victims = Set(
      (0..<Int.random(in: 1...6, using: &generator)).map { _ in
        UInt64.random(in: 1...100, using: &generator)
      })
    let offsets = victims.sorted().map { _ in Int.random(in: 0..<100, using: &generator) }
    let removals = victims.sorted().map { _ in generator.oneIn(3) }
    try change { log, transaction throws(StoreError) in
      for (index, victim) in victims.sorted().enumerated() {
        if removals[index] {
          try transaction.remove(victim, from: log.tables.entries)
          continue
        }
        var bytes = try transaction.value(of: victim, in: log.tables.entries) { [UInt8]($0) } ?? []
        bytes[offsets[index] % bytes.count] ^= 4
        try bytes.withRawBytes { (raw) throws(StoreError) in
          try transaction.put(raw, for: victim, in: log.tables.entries)
        }
      }
    }
    let dry = try repair(dryRun: true)
    #expect(dry.summary == nil && dry.setAside == nil)
    #expect(throws: StoreError.self) { try summary() }
    let report = try repair()
    let found = report.damagedEntries.flatMap { range in
      (range.lowerBound.rawValue...range.upperBound.rawValue).map { $0 }
    }
    #expect(found == victims.sorted(), "seed \(seed)")
    #expect(dry.damagedEntries == report.damagedEntries)
    // Not more than the damaged part.
    #expect(report.fetchedEntryCount == UInt64(victims.count), "seed \(seed)")
    #expect(report.summary == before, "seed \(seed)")
    #expect(report.setAside == path + "/data.mdb.damaged")
    let store = try CatalogStore.open(
      folder: path, options: options(), wallMilliseconds: clock.read)
    #expect(store.condition == nil && store.current.digest == before.digest)
    // Commands are known, with what was asked for.
    #expect(try await store.submit(command(50, split(padded(50)))).outcome == .repeated)
    await #expect(throws: CommandFailure.self) {
      try await store.submit(command(50, split("something else")))
    }
    store.close()
  }

  @Test func indexesAreMadeAnew() async throws {
    let before = try await make()
    try change { log, transaction throws(StoreError) in
      try transaction.remove(9, from: log.tables.commands)
      try transaction.remove(30, from: log.tables.versions)
    }
    let report = try repair()
    #expect(report.damagedEntries.isEmpty && report.otherDamage != nil)
    #expect(report.fetchedEntryCount == 0)
    #expect(report.summary == before)
  }

  @Test func theNoteOfTheEndIsMadeAnew() async throws {
    let before = try await make()
    try change { log, transaction throws(StoreError) in
      try transaction.remove(LogTables.MetaKey.head, from: log.tables.meta)
    }
    let report = try repair()
    #expect(report.hasHeadOfPeer)
    #expect(report.summary == before)
  }

  enum FileDamage: CaseIterable { case deleted, truncated, garbage, empty }

  @Test(arguments: FileDamage.allCases, [false, true])
  func aLostFileIsMadeAnew(damage: FileDamage, trimmed: Bool) async throws {
    let before = try await make(trimmed: trimmed)
    let file = URL(filePath: path + "/data.mdb")
    switch damage {
    case .deleted: try FileManager.default.removeItem(at: file)
    case .truncated:
      let handle = try FileHandle(forWritingTo: file)
      try handle.truncate(atOffset: 12_288)
      try handle.close()
    case .garbage: try Data(repeating: 0x5A, count: 1 << 20).write(to: file)
    case .empty: try Data().write(to: file)
    }
    let report = try repair()
    #expect(report.lostFile != nil)
    #expect(report.summary?.headHash == before.headHash)
    #expect(report.summary?.digest == before.digest)
    // Whether it led nobody knows: it leads again when it is told to.
    #expect(throws: StoreError.isMirror(folder: path)) {
      try CatalogStore.open(folder: path, options: options(), wallMilliseconds: clock.read)
    }
    var promoting = options()
    promoting.promotesMirror = true
    let store = try CatalogStore.open(
      folder: path, options: promoting, wallMilliseconds: clock.read)
    #expect(store.condition == nil)
    #expect(store.current.digest == before.digest)
    store.close()
  }

  /// Pages that were lost read as zeros.
  @Test(arguments: testSeeds(count: 24))
  func lostPagesAreMendedOrNamed(seed: UInt64) async throws {
    var generator = SeededGenerator(seed: seed)
    let before = try await make()
    let file = path + "/data.mdb"
    let handle = try FileHandle(forUpdating: URL(filePath: file))
    let count = try handle.seekToEnd() / 4_096
    let page = UInt64.random(in: 2..<max(3, min(count, 30)), using: &generator)
    try handle.seek(toOffset: page * 4_096)
    handle.write(Data(repeating: 0, count: 4_096))
    try handle.close()
    let report = try repair()
    #expect(report.summary == before, "seed \(seed), page \(page)")
  }

  @Test func aPeerOfAnotherHistoryIsRefused() async throws {
    _ = try await make()
    try change { log, transaction throws(StoreError) in
      try transaction.remove(50, from: log.tables.entries)
    }
    try FileManager.default.removeItem(atPath: peerPath)
    do {
      var chain = try makeEntries(100).entries
      for index in 30..<100 {
        var entry = chain[index].entry
        entry.reason = "another history"
        entry.previous = chain[index - 1].hash
        chain[index] = try EncodedEntry(entry)
      }
      let peer = try EventLog.create(folder: peerPath, catalog: testCatalog)
      try peer.append(chain)
    }
    let bytes = try Data(contentsOf: URL(filePath: path + "/data.mdb"))
    let error = #expect(throws: StoreError.self) { try repair() }
    guard case .unproven(LogPosition(50), .forked)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(try Data(contentsOf: URL(filePath: path + "/data.mdb")) == bytes)
  }

  // MARK: Checkpoints

  private func damageRoot(_ version: UInt64) throws {
    let store = try CheckpointStore.open(folder: path, mode: .readWrite, catalog: testCatalog)
    let checkpoints = try #require(store)
    let root = try #require(try checkpoints.roots().first { $0.version.rawValue == version })
    let id = try #require(root.trees[0].root?.id)
    try checkpoints.environment.write { transaction throws(StoreError) in
      var bytes = try transaction.value(of: id, in: checkpoints.tables.nodes) { [UInt8]($0) } ?? []
      bytes[bytes.count / 2] ^= 1
      try bytes.withRawBytes { (raw) throws(StoreError) in
        try transaction.put(raw, for: id, in: checkpoints.tables.nodes)
      }
    }
  }

  private func expectWholeCheckpoints(_ versions: [UInt64]) throws {
    let store = try CheckpointStore.open(folder: path, mode: .readOnly, catalog: testCatalog)
    let checkpoints = try #require(store)
    #expect(try checkpoints.roots().map(\.version.rawValue) == versions)
    let log = try EventLog.open(folder: peerPath, mode: .readOnly)
    for root in try checkpoints.roots() {
      let state = try checkpoints.load(root)
      #expect(try Replayer(log).replay(through: root.position).digest == state.digest)
    }
  }

  @Test func aDamagedCheckpointIsMadeAnew() async throws {
    let before = try await make()
    try damageRoot(70)
    let report = try repair()
    #expect(report.damagedCheckpoints.first == CatalogVersion(70))
    #expect(report.remadeCheckpoints == report.damagedCheckpoints)
    #expect(report.fetchedEntryCount == 0 && !report.hasFetchedBase)
    #expect(report.summary == before)
    try expectWholeCheckpoints(Array(stride(from: 10, through: 100, by: 10)))
  }

  @Test func theCheckpointThatTheLogBeginsAfterComesFromThePeer() async throws {
    let before = try await make(trimmed: true)
    try damageRoot(40)
    #expect(throws: StoreError.self) { try summary() }
    let report = try repair()
    #expect(report.damagedCheckpoints.first == CatalogVersion(40))
    #expect(report.hasFetchedBase)
    #expect(report.summary == before)
    try expectWholeCheckpoints([40, 50, 60, 70, 80, 90, 100])
  }

  /// Only the routes below the damaged nodes are asked for.
  @Test(arguments: testSeeds(count: 8))
  func partsOfTheCheckpointThatTheLogBeginsAfterComeFromThePeer(seed: UInt64) async throws {
    var generator = SeededGenerator(seed: seed)
    let before = try await make(trimmed: true)
    var damaged: Set<UInt64> = []
    do {
      let store = try CheckpointStore.open(folder: path, mode: .readWrite, catalog: testCatalog)
      let checkpoints = try #require(store)
      let root = try #require(try checkpoints.roots().first)
      #expect(root.version == CatalogVersion(40))
      let hidden = try checkpoints.hiddenNodes(from: root)
      let tops = Set(root.trees.compactMap(\.root?.id))
      let nodes = try checkpoints.nodes(of: root, after: 0, without: hidden, maxBytes: .max)
        .filter { !tops.contains($0.id) && $0.bytes[1] == 0 }
      try checkpoints.environment.write { transaction throws(StoreError) in
        for _ in 0..<Int.random(in: 1...3, using: &generator) {
          guard var node = nodes.randomElement(using: &generator) else { return }
          damaged.insert(node.id)
          if generator.oneIn(3) {
            try transaction.remove(node.id, from: checkpoints.tables.nodes)
            continue
          }
          node.bytes[Int.random(in: 0..<node.bytes.count, using: &generator)] ^= 1
          try node.bytes.withRawBytes { (raw) throws(StoreError) in
            try transaction.put(raw, for: node.id, in: checkpoints.tables.nodes)
          }
        }
      }
    }
    let report = try repair()
    #expect(report.damagedCheckpoints.first == CatalogVersion(40), "seed \(seed)")
    // The routes are in two leaves; several that are damaged may be both.
    #expect(report.fetchedRouteCount < 40 || damaged.count > 1, "seed \(seed)")
    #expect(report.hasFetchedBase == (report.fetchedRouteCount > 0), "seed \(seed)")
    #expect(report.summary == before, "seed \(seed)")
    try expectWholeCheckpoints([40, 50, 60, 70, 80, 90, 100])
  }

  @Test(arguments: [false, true])
  func aLostFileOfCheckpointsIsMadeAnew(trimmed: Bool) async throws {
    let before = try await make(trimmed: trimmed)
    try Data(repeating: 9, count: 100_000).write(
      to: URL(filePath: path + "/checkpoints/data.mdb"))
    let report = try repair()
    #expect(report.lostCheckpoints != nil)
    #expect(report.hasFetchedBase == trimmed)
    #expect(report.fetchedRouteCount == (trimmed ? 40 : 0))
    #expect(report.summary == before)
    try expectWholeCheckpoints(trimmed ? [40, 100] : [100])
  }
}
