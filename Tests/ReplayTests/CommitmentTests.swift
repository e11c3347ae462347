import Catalog
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// Commitments as they are made beside checkpoints, and kept there.
@Suite struct CommitmentTests {
  let folder = TemporaryFolder()
  let clock = TestClock()

  private func hashes(_ log: EventLog) throws -> [EntryHash] {
    try log.entries(from: LogPosition(1), maxCount: .max).map(\.hash)
  }

  /// What a commitment to the newest state has to say.
  private func reference(_ log: EventLog, _ state: CatalogState) throws -> CatalogCommitment {
    var frontier = LogFrontier()
    for hash in try hashes(log).prefix(Int(state.appliedThrough.rawValue)) { frontier.append(hash) }
    return CatalogCommitment(
      version: state.version, position: state.appliedThrough,
      routesRoot: RouteCommitmentTree(of: state.routes).root, logRoot: frontier.root)
  }

  @Test func commitmentsFollowTheLogAndOutliveTheProcess() async throws {
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, wallMilliseconds: clock.read)
    let checkpoints = try #require(
      try CheckpointStore.open(folder: folder.path, mode: .readWrite, catalog: testCatalog))
    let log = try EventLog.open(folder: folder.path, mode: .readOnly)
    var keeper = CommitmentKeeper(log)
    _ = try await store.submit(command(1, oneRoute))
    var made: [CatalogCommitment] = []
    for round in UInt64(0)..<12 {
      for number in 0..<round * 3 {
        _ = try await store.submit(command(round * 100 + number + 2, split("\(round).\(number)")))
      }
      let commitment = try #require(try keeper.commit(to: store.current, in: checkpoints))
      #expect(commitment == (try reference(log, store.current)), "round \(round)")
      made.append(commitment)
      let receipt = try await store.append(Note(commitment, of: testCatalog))
      #expect(receipt.version == commitment.version)
      // Another process, which knows nothing but the tables.
      if round % 3 == 2 { keeper = CommitmentKeeper(log) }
    }
    #expect(Set(try checkpoints.commitments().map(\.commitment)) == Set(made))
    // The same again is one.
    let again = try #require(try keeper.commit(to: store.current, in: checkpoints))
    #expect(again.version == made.last?.version)
    store.close()

    let (proof, proven) = try Prover(log, checkpoints: checkpoints).prove(
      Key("5.5"), at: CatalogVersion(100))
    #expect(proof.anchor > .zero)
    #expect(proven.head == (try log.lastPosition()))
  }

  /// A store by itself: a checkpoint is followed by its commitment, and that by no checkpoint.
  @Test func checkpointsAreCommittedToOnce() async throws {
    var options = StoreOptions()
    options.checkpoints = .onRequest
    options.checkpoints.versions = 10
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: options, wallMilliseconds: clock.read)
    _ = try await store.submit(command(1, oneRoute))
    for number in UInt64(2)...35 {
      _ = try await store.submit(command(number, split(padded(number))))
    }
    let root = try #require(try await store.checkpointNow())
    #expect(root.version == CatalogVersion(35))
    let last = try await store.wait { state in state.appliedThrough > root.position }
    #expect(last.version == CatalogVersion(35))
    #expect(store.commitmentCondition == nil)
    #expect(try await store.checkpointNow() == root)
    let roots = try #require(try store.checkpoints?.roots())
    store.close()

    let log = try EventLog.open(folder: folder.path, mode: .readOnly)
    let commitments = try log.entries(from: LogPosition(1), maxCount: .max).compactMap {
      $0.entry.firstCommitment
    }
    #expect(commitments.map(\.version) == roots.map(\.version))
    #expect(commitments.map(\.position) == roots.map(\.position))
    let checkpoints = try CheckpointStore.open(
      folder: folder.path, mode: .readOnly, catalog: testCatalog)
    #expect(try checkpoints?.commitments().map(\.commitment) == commitments)

    for version in [CatalogVersion(3), CatalogVersion(20), CatalogVersion(35)] {
      let (proof, proven) = try Prover(log, checkpoints: checkpoints).prove(
        Key(padded(2)), at: version)
      #expect(proof.anchor > .zero)
      #expect(proven.route.version <= version)
    }
  }

  @Test func aLearnerKeepsCommitmentsAndAppendsNone() async throws {
    var options = StoreOptions(role: .learner)
    options.checkpoints = .onRequest
    let story = try CommittedStory(seed: 3, count: 40, interval: 9)
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: options, wallMilliseconds: clock.read)
    defer { store.close() }
    try await store.replicate(story.entries)
    try await store.checkpointNow()
    #expect(store.current.appliedThrough == LogPosition(40))
    let rows = try #require(try store.checkpoints?.commitments())
    #expect(rows.map(\.commitment) == [try reference(story.log, store.current)])
  }

  @Test func aMirrorWithoutAFrontierCommitsToNothing() throws {
    let story = try CommittedStory(seed: 5, count: 40, interval: 6)
    let mirror = try EventLog.create(folder: folder.path, catalog: testCatalog)
    try mirror.install(base: story.states[20])
    try mirror.append(Array(story.entries[20...]))
    let checkpoints = try #require(
      try CheckpointStore.open(folder: folder.path, mode: .readWrite, catalog: testCatalog))
    let state = try #require(story.states.last)
    #expect(try CommitmentKeeper(mirror).commit(to: state, in: checkpoints) == nil)
    #expect(try checkpoints.commitments().isEmpty)

    // One that lost its first entries later knows what was before.
    var frontier = LogFrontier()
    for entry in story.entries[..<20] { frontier.append(entry.hash) }
    try checkpoints.put(
      CommitmentRow(
        version: story.states[20].version,
        routesRoot: RouteCommitmentTree(of: story.states[20].routes).root, frontier: frontier))
    let commitment = try CommitmentKeeper(mirror).commit(to: state, in: checkpoints)
    #expect(commitment == (try reference(story.log, state)))

    // And proves what came before its first commitment of its own, if it is in the log.
    let prover = Prover(mirror, checkpoints: checkpoints)
    for number in (story.states[20].version.rawValue + 1)...story.newest.rawValue {
      let version = CatalogVersion(number)
      guard let (_, proven) = try? prover.prove(Key("b"), at: version) else { continue }
      #expect(proven.route == story.table(version).route(containing: Key("b")))
    }
  }

  @Test func rowsThatAreNotWhatWasWrittenAreNone() throws {
    var frontier = LogFrontier()
    for number in UInt8(0)..<11 {
      frontier.append([number].withUnsafeBytes(EntryHash.init(of:)))
    }
    let row = CommitmentRow(
      version: CatalogVersion(7), routesRoot: MerkleHash(leaf: [1]), frontier: frontier)
    let bytes = row.bytes
    #expect(bytes.count == 16 + 32 + 3 * 32 + 32)
    #expect(bytes.withUnsafeBytes(CommitmentRow.init) == row)
    for index in bytes.indices {
      var altered = bytes
      altered[index] ^= 1
      #expect(altered.withUnsafeBytes(CommitmentRow.init) == nil, "\(index)")
      let short = Array(bytes[..<index])
      #expect(short.withUnsafeBytes(CommitmentRow.init) == nil, "\(index)")
    }
  }
}
