import Catalog
import StateMachines
import Synchronization
import TestSupport
import Testing

@testable import Replay

/// Checkpoints that a store makes of its states, and stores that start from them.
@Suite struct CheckpointerTests {
  let folder = TemporaryFolder()
  let clock = TestClock()

  private func create(_ policy: CheckpointPolicy = .onRequest) throws -> CatalogStore {
    try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: options(policy),
      wallMilliseconds: clock.read)
  }

  private func open(
    _ policy: CheckpointPolicy = .onRequest, history: Int = 16
  ) throws -> CatalogStore {
    try CatalogStore.open(
      folder: folder.path, options: options(policy, history: history), wallMilliseconds: clock.read)
  }

  private func options(_ policy: CheckpointPolicy, history: Int = 16) -> StoreOptions {
    var options = StoreOptions()
    // Entries are counted here.
    options.commitsToCheckpoints = false
    options.historyCapacity = history
    options.checkpoints = policy
    options.log.initialMapSize = 64 << 10
    return options
  }

  /// Sends commands that make a version each, many in a commit.
  private func submit(_ numbers: ClosedRange<UInt64>, to store: CatalogStore) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in numbers {
        if number == 1 { _ = try await store.submit(command(1, oneRoute)) }
        group.addTask {
          if number > 1 { _ = try await store.submit(command(number, split(padded(number)))) }
        }
      }
      try await group.waitForAll()
    }
  }

  @Test func policyTellsWhenOneIsDue() {
    var policy = CheckpointPolicy()
    #expect(!policy.isDue(.init(versions: 0, events: 9_999_999, age: .seconds(9_999))))
    #expect(!policy.isDue(.init(versions: 999, events: 49_999, age: .seconds(299))))
    #expect(policy.isDue(.init(versions: 1_000)))
    #expect(policy.isDue(.init(versions: 1, events: 50_000)))
    #expect(policy.isDue(.init(versions: 1, age: .seconds(300))))
    #expect(!policy.isDueAtClose(.init(versions: 99, events: 4_999)))
    #expect(policy.isDueAtClose(.init(versions: 100)))
    #expect(!policy.isDueAtClose(.init(versions: 0, events: 1 << 40)))
    policy = .onRequest
    #expect(!policy.isDue(.init(versions: 1 << 60, events: 1 << 60, age: .seconds(1 << 40))))
    #expect(!policy.isDueAtClose(.init(versions: 1 << 60, events: 1 << 60)))
  }

  @Test func aCheckpointIsMadeOnRequestAndOnceForAVersion() async throws {
    let store = try create()
    #expect(try await store.checkpointNow() == nil, "an empty catalog has none")
    try await submit(1...20, to: store)
    let root = try #require(try await store.checkpointNow())
    #expect(root.version == CatalogVersion(20))
    #expect(root.header == store.current.header)
    #expect(try await store.checkpointNow() == root)
    try await submit(21...30, to: store)
    #expect(try await store.checkpointNow()?.version == CatalogVersion(30))
    let checkpoints = try #require(store.checkpoints)
    #expect(try checkpoints.roots().map(\.version.rawValue) == [20, 30])
    for root in try checkpoints.roots() {
      let state = try checkpoints.load(root)
      #expect(state.header == root.header)
      #expect(
        state.routes.routes(overlapping: .all)
          == store.table(at: root.version)?.routes(overlapping: .all))
    }
    store.close()
    await #expect(throws: StoreError.unusable(reason: "it is closed")) {
      try await store.checkpointNow()
    }
  }

  @Test func checkpointsComeByThemselves() async throws {
    var policy = CheckpointPolicy.onRequest
    policy.versions = 25
    let store = try create(policy)
    let seen = Mutex<[CheckpointRoot]>([])
    store.onCheckpoint { root, state, previous in
      #expect(state.header == root.header)
      seen.withLock { seen in
        #expect(previous?.header == seen.last?.header)
        seen.append(root)
      }
    }
    for start in stride(from: UInt64(1), to: 500, by: 25) {
      try await submit(start...start + 24, to: store)
    }
    store.close()
    let roots = try #require(store.checkpoints).roots()
    #expect(!roots.isEmpty)
    #expect(seen.withLock { $0 } == roots)
  }

  /// A single version waits no longer than the policy says, though nothing else happens.
  @Test func aVersionThatGrowsOldIsCheckpointed() async throws {
    var policy = CheckpointPolicy.onRequest
    policy.age = .milliseconds(20)
    let store = try create(policy)
    let (stream, seen) = AsyncStream.makeStream(of: CatalogVersion.self)
    store.onCheckpoint { root, _, _ in seen.yield(root.version) }
    try await submit(1...1, to: store)
    for await version in stream {
      #expect(version == CatalogVersion(1))
      break
    }
    store.close()
  }

  @Test func aLongTailIsCheckpointedAtTheEnd() async throws {
    var policy = CheckpointPolicy.onRequest
    policy.versionsAtClose = 10
    var store = try create(policy)
    try await submit(1...9, to: store)
    store.close()
    #expect(store.checkpoints == nil)
    store = try open(policy)
    try await submit(10...10, to: store)
    store.close()
    #expect(try #require(store.checkpoints).roots().map(\.version.rawValue) == [10])
    // Nothing new, nothing to do.
    store = try open(policy)
    store.close()
    #expect(try #require(store.checkpoints).roots().count == 1)
  }

  @Test func aStoreStartsFromACheckpoint() async throws {
    var store = try create()
    for end in [UInt64(40), 80, 120] {
      try await submit(end - 39...end, to: store)
      try await store.checkpointNow()
    }
    try await submit(121...130, to: store)
    let before = store.current
    store.close()
    // Entries behind the checkpoint are not even looked at.
    try damageEntry(5)
    for history in [1, 5, 16, 60, 115] {
      store = try open(history: history)
      #expect(store.condition == nil)
      #expect(store.checkpointWarnings.isEmpty)
      #expect(store.current.header == before.header)
      #expect(store.current.routes.count == before.routes.count)
      let retained = store.retainedVersions
      #expect(retained.upperBound == CatalogVersion(130))
      #expect(
        retained.lowerBound == CatalogVersion(131 - UInt64(history))
          || history == 115, "\(retained)")
      store.close()
    }
    #expect(throws: StoreError.self) {
      try Replayer(EventLog.open(folder: folder.path, mode: .readOnly)).replay()
    }
  }

  private func damageEntry(_ position: UInt64) throws {
    let log = try EventLog.open(folder: folder.path, mode: .readWrite)
    try log.environment.write { transaction throws(StoreError) in
      try [1, 2, 3].withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: position, in: log.tables.entries)
      }
    }
  }

  /// Whatever was dropped or damaged, and from whichever root a store started: what it checkpoints
  /// next can be loaded, and all nodes go with their last root.
  @Test(arguments: testSeeds(count: 8))
  func checkpointsAreWhatTheLogMakes(seed: UInt64) async throws {
    var generator = SeededGenerator(seed: seed)
    var store = try create()
    var number: UInt64 = 0
    for _ in 0..<25 {
      switch Int.random(in: 0..<8, using: &generator) {
      case 0..<4:
        let count = UInt64.random(in: 1...30, using: &generator)
        try await submit(number + 1...number + count, to: store)
        number += count
        try await store.checkpointNow()
      case 4..<6:
        guard let checkpoints = store.checkpoints,
          let root = try checkpoints.roots().randomElement(using: &generator)
        else { continue }
        try checkpoints.dropRoot(root.version)
      default:
        store.close()
        store = try open(history: Int.random(in: 1...80, using: &generator))
        #expect(store.condition == nil, "seed \(seed)")
        #expect(store.checkpointWarnings.isEmpty, "seed \(seed): \(store.checkpointWarnings)")
      }
      guard let checkpoints = store.checkpoints else { continue }
      let log = try EventLog.open(folder: folder.path, mode: .readOnly)
      var before: (root: CheckpointRoot, state: CatalogState)?
      for root in try checkpoints.roots() {
        let state = try Replayer(log).replay(through: root.position)
        try checkpoints.read(root) { table throws(StoreError) in
          let id = RouteID(UInt64.random(in: 1...number, using: &generator))
          #expect(try table.route(id: id) == state.routes.route(id: id), "seed \(seed)")
          let key = key(padded(UInt64.random(in: 0...number + 1, using: &generator)))
          #expect(
            try table.route(containing: key) == state.routes.route(containing: key), "seed \(seed)")
        }
        if let before {
          #expect(
            try checkpoints.changedRoutes(from: before.root, to: root)
              == Set(state.routes.changedRoutes(since: before.state.routes)), "seed \(seed)")
        }
        before = (root, state)
        let loaded = try checkpoints.load(root)
        #expect(loaded.header == state.header, "seed \(seed)")
        #expect(
          loaded.routes.routes(overlapping: .all) == state.routes.routes(overlapping: .all),
          "seed \(seed)")
      }
    }
    if let checkpoints = store.checkpoints {
      for root in try checkpoints.roots() { try checkpoints.dropRoot(root.version) }
      #expect(try checkpoints.nodeIDs().isEmpty, "seed \(seed)")
    }
    store.close()
  }

  /// Who reads an old version sees it to the end, while others are made and it is dropped.
  @Test func readersSeeTheirVersionWhateverHappens() async throws {
    // A map that has to grow waits for readers.
    var options = self.options(.onRequest)
    options.log.initialMapSize = 4 << 20
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: options, wallMilliseconds: clock.read)
    try await submit(1...200, to: store)
    let root = try #require(try await store.checkpointNow())
    let checkpoints = try #require(store.checkpoints)
    let expected = store.current.routes.routes(overlapping: .all)
    let reading = Monitor(false)
    let goOn = Monitor(false)
    let reader = try WorkerThread(name: "reader") {
      do {
        try checkpoints.read(root) { table throws(StoreError) in
          reading.change { $0 = true }
          goOn.wait { $0 ? () : nil }
          #expect(try table.routes(overlapping: .all, limit: .max) == expected)
        }
      } catch {
        Issue.record("\(error)")
      }
    }
    reading.wait { $0 ? () : nil }
    try await submit(201...300, to: store)
    try await store.checkpointNow()
    try checkpoints.dropRoot(root.version)
    #expect(throws: StoreError.noCheckpoint(root.version)) { try checkpoints.load(root) }
    goOn.change { $0 = true }
    reader.join()
    #expect(throws: StoreError.noCheckpoint(root.version)) {
      try checkpoints.read(root) { $0.count }
    }
    store.close()
  }
}
