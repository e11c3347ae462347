import Catalog
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// Checkpoints that are not what was written are named, and what is served is right all the same.
@Suite struct CheckpointDamageTests {
  let folder = TemporaryFolder()
  let clock = TestClock()

  private var options: StoreOptions {
    var options = StoreOptions(role: .learner)
    options.historyCapacity = 4
    options.checkpoints = .onRequest
    return options
  }

  /// A log of 120 entries with checkpoints of versions 40, 80 and 120, in which `damage` changes
  /// something; the digest at its end.
  private func makeFolder(
    _ damage: (CheckpointStore) throws -> Void
  ) async throws -> StateDigest {
    let (entries, state) = try makeEntries(120)
    try EventLog.create(folder: folder.path, catalog: testCatalog).releaseForWriting()
    let store = try open()
    for start in stride(from: 0, to: 120, by: 40) {
      try await store.replicate(Array(entries[start..<start + 40]))
      try await store.checkpointNow()
    }
    try damage(try #require(store.checkpoints))
    store.close()
    return state.digest
  }

  private func open() throws -> CatalogStore {
    try CatalogStore.open(folder: folder.path, options: options, wallMilliseconds: clock.read)
  }

  private func flip(
    _ key: UInt64, in table: LMDB.Table<UInt64>, of store: CheckpointStore, offset: Int
  ) throws {
    try store.environment.write { transaction throws(StoreError) in
      let bytes = try transaction.value(of: key, in: table) { [UInt8]($0) }
      guard var bytes else { throw .noCheckpoint(CatalogVersion(key)) }
      bytes[offset % bytes.count] ^= 0x10
      try bytes.withRawBytes { (raw) throws(StoreError) in
        try transaction.put(raw, for: key, in: table)
      }
    }
  }

  /// Opens the store and checks what it serves, then that it goes on making checkpoints.
  private func check(
    _ digest: StateDigest, damaged: [UInt64], _ comment: Comment
  ) async throws {
    do {
      let log = try EventLog.open(folder: folder.path, mode: .readOnly)
      var replayer = Replayer(log)
      replayer.checkpoints = CheckpointStore.forReading(log) { Issue.record("\($0)") }
      var warnings: [StoreError] = []
      replayer.onWarning = { warnings.append($0) }
      #expect(try replayer.replay().digest == digest, comment)
      #expect(warnings.compactMap(\.damagedVersion) == damaged, comment)
      for position in [UInt64(39), 40, 41, 79, 80, 119] {
        let state = try replayer.replay(through: LogPosition(position))
        #expect(state.digest == (try log.entry(at: LogPosition(position))?.entry.digest), comment)
      }
    }
    let store = try open()
    #expect(store.condition == nil, comment)
    #expect(store.current.digest == digest, comment)
    let (entries, _) = try makeEntries(130)
    try await store.replicate(Array(entries[120...]))
    let root = try #require(try await store.checkpointNow())
    #expect(root.version == CatalogVersion(130), comment)
    #expect(try #require(store.checkpoints).load(root).header == store.current.header, comment)
    store.close()
  }

  @Test(arguments: testSeeds(count: 12))
  func aDamagedNodeIsPassedOver(seed: UInt64) async throws {
    var generator = SeededGenerator(seed: seed)
    var victims: [UInt64] = []
    let digest = try await makeFolder { store in
      let roots = try store.roots()
      // A node that was written for the newest, or the one before.
      let root = roots[generator.oneIn(2) ? 2 : 1]
      let seen = try roots.map { root in
        let hidden = try store.hiddenNodes(from: root)
        return try store.nodes(of: root, after: 0, without: hidden, maxBytes: .max).map(\.id)
      }
      let id = UInt64.random(in: root.nodes, using: &generator)
      try flip(
        id, in: store.tables.nodes, of: store,
        offset: Int.random(in: 0..<4000, using: &generator))
      victims = zip(roots, seen).filter { $0.1.contains(id) }.map(\.0.version.rawValue)
      for root in roots where victims.contains(root.version.rawValue) {
        let error = #expect(throws: StoreError.self) { try store.load(root) }
        #expect(error?.damagedVersion == root.version.rawValue, "seed \(seed)")
      }
    }
    // Only those that are tried are named: the newest first, until one is whole.
    let named = victims.contains(120) ? victims.reversed() : []
    try await check(digest, damaged: named, "seed \(seed)")
  }

  @Test(arguments: [UInt64(40), 80, 120])
  func aDamagedRowIsPassedOver(version: UInt64) async throws {
    let digest = try await makeFolder { store in
      try flip(version, in: store.tables.roots, of: store, offset: 77)
    }
    try await check(digest, damaged: [version], "version \(version)")
  }

  @Test func allCheckpointsDamagedIsTheLogAlone() async throws {
    let digest = try await makeFolder { store in
      for version in [UInt64(40), 80, 120] {
        try flip(version, in: store.tables.roots, of: store, offset: 5)
      }
    }
    try await check(digest, damaged: [40, 80, 120], "all")
  }

  /// A file that is none of ours keeps nothing from starting; the log has it all.
  @Test func aRuinedFileIsNamed() async throws {
    let digest = try await makeFolder { _ in }
    let file = folder.appending("checkpoints/data.mdb")
    try Data(repeating: 0x5A, count: 8192).write(to: URL(filePath: file))
    let store = try open()
    #expect(store.current.digest == digest)
    #expect(store.checkpointWarnings.count == 1)
    #expect(store.checkpoints == nil)
    await #expect(throws: StoreError.self) { try await store.checkpointNow() }
    #expect(store.checkpointCondition != nil)
    #expect(store.condition == nil)
    let (entries, state) = try makeEntries(121)
    try await store.replicate([entries[120]])
    #expect(store.current.digest == state.digest)
    store.close()
  }

  @Test func aLostFileIsMadeAnew() async throws {
    let digest = try await makeFolder { _ in }
    try FileManager.default.removeItem(atPath: folder.appending("checkpoints"))
    try await check(digest, damaged: [], "lost")
  }

  /// A log that was put back to an earlier day: checkpoints of what it does not know are not used,
  /// and go, also those that a start does not look at.
  @Test(arguments: [(shared: UInt64(0), count: UInt64(100), history: 4), (40, 200, 150)])
  func checkpointsOfAnotherHistoryGo(
    shared: UInt64, count: UInt64, history: Int
  ) async throws {
    _ = try await makeFolder { _ in }
    for name in ["data.mdb", "lock.mdb"] {
      try FileManager.default.removeItem(atPath: folder.appending(name))
    }
    do {
      let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
      var state = CatalogState(catalog: testCatalog)
      var entries: [EncodedEntry] = []
      for number in 0..<count {
        let name = number < shared ? padded(number) : "other " + padded(number)
        guard
          case .append(let entry) = try state.propose(
            command(number + 1, number == 0 ? oneRoute : split(name)), time: state.lastTime.next)
        else { preconditionFailure("a cut at a new key appends") }
        entries.append(entry)
      }
      try log.append(entries)
    }
    var options = options
    options.historyCapacity = history
    let store = try CatalogStore.open(
      folder: folder.path, options: options, wallMilliseconds: clock.read)
    #expect(store.current.version == CatalogVersion(count))
    let root = try #require(try await store.checkpointNow())
    let checkpoints = try #require(store.checkpoints)
    #expect(
      try checkpoints.roots().map(\.version.rawValue) == (shared > 0 ? [40, count] : [count]))
    #expect(try checkpoints.load(root).header == store.current.header)
    for root in try checkpoints.roots() { try checkpoints.dropRoot(root.version) }
    #expect(try checkpoints.nodeIDs().isEmpty, "nothing of the others is left")
    store.close()
  }
}

extension StoreError {
  /// The version of the checkpoint that is damaged.
  fileprivate var damagedVersion: UInt64? {
    if case .checkpointDamaged(let version, _) = self { version.rawValue } else { nil }
  }
}
