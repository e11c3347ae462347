import Catalog
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// Verification of what a log says of itself, and of the checkpoints beside it.
@Suite struct VerifierTests {
  let folder = TemporaryFolder()
  let clock = TestClock()

  /// A store of 120 versions with a checkpoint every 30, closed.
  private func makeLog() async throws -> EventLog {
    var options = StoreOptions()
    options.checkpoints = .onRequest
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: options, wallMilliseconds: clock.read)
    _ = try await store.submit(command(1, oneRoute))
    for number in UInt64(2)...120 {
      _ = try await store.submit(command(number, split(padded(number))))
      guard number % 30 == 0 else { continue }
      let root = try #require(try await store.checkpointNow())
      _ = try await store.wait { $0.appliedThrough > root.position }
    }
    store.close()
    return try EventLog.open(folder: folder.path, mode: .readOnly)
  }

  private func checkpoints(_ mode: LogMode = .readOnly) throws -> CheckpointStore {
    try #require(
      try CheckpointStore.open(folder: folder.path, mode: mode, catalog: testCatalog))
  }

  @Test func checkpointsAndCommitmentsAreProvenInParts() async throws {
    let log = try await makeLog()
    let plain = try Verifier(log).verify()
    #expect(plain.commitmentCount == 4)
    #expect(plain.checkpointCount == 0)
    for partCount in 1...3 {
      var verifier = Verifier(log, checkpoints: try checkpoints())
      verifier.partCount = partCount
      verifier.minimumPartCount = 1
      var told: [ReplayProgress] = []
      verifier.onProgress = { told.append($0) }
      var summary = try verifier.verify()
      #expect(summary.checkpointCount == 4)
      #expect(summary.foreignCheckpointCount == 0)
      #expect(told.last?.entryCount == 124)
      summary.checkpointCount = 0
      #expect(summary == plain, "\(partCount)")
    }
    var cancelled = Verifier(log, checkpoints: try checkpoints())
    cancelled.isCancelled = { true }
    #expect(throws: StoreError.self) { try cancelled.verify() }
  }

  /// Appends a note to the log that a store would not make.
  private func append(_ event: Event) throws {
    let log = try EventLog.open(folder: folder.path, mode: .readWrite)
    var state = try Replayer(log).replay()
    let entry = try state.propose(
      Note(id: commandID(9_999), reason: "forged", events: [event]), time: state.lastTime.next)
    try log.append([entry])
    log.releaseForWriting()
  }

  @Test func aCommitmentToOtherRoutesIsFound() async throws {
    let log = try await makeLog()
    let state = try Replayer(log).replay()
    var frontier = LogFrontier()
    for entry in try log.entries(from: LogPosition(1), maxCount: .max) {
      frontier.append(entry.hash)
    }
    try append(
      .catalogCommitted(
        CatalogCommitment(
          version: state.version, position: state.appliedThrough,
          routesRoot: MerkleHash(leaf: [1]), logRoot: frontier.root)))
    let position = state.appliedThrough.next
    #expect(
      throws: StoreError.damaged(
        position, .index("it commits to other routes than there were"))
    ) { try Verifier(log).verify() }
  }

  @Test func aCommitmentToOtherEntriesIsFound() async throws {
    let log = try await makeLog()
    let state = try Replayer(log).replay()
    try append(
      .catalogCommitted(
        CatalogCommitment(
          version: state.version, position: state.appliedThrough,
          routesRoot: RouteCommitmentTree(of: state.routes).root,
          logRoot: MerkleHash(leaf: [1]))))
    #expect(
      throws: StoreError.damaged(
        state.appliedThrough.next,
        .index("it commits to other entries than there are before it"))
    ) { try Verifier(log).verify() }
  }

  private func marker(_ log: EventLog, at position: LogPosition) throws -> TrimMarker {
    let entry = try #require(try log.entry(at: position))
    let key = try #require(SigningKey(bytes: [UInt8](repeating: 3, count: 32)))
    return try #require(
      TrimMarker(
        through: position, hash: entry.hash, version: entry.entry.version,
        digest: entry.entry.digest, policy: "test", of: testCatalog, signedWith: key))
  }

  @Test func aMarkerIsProvenByItsSignature() async throws {
    let log = try await makeLog()
    let marker = try marker(log, at: LogPosition(20))
    try append(.logTrimmed(marker))
    #expect(try Verifier(log).verify().markers == [marker])
  }

  @Test func aMarkerThatIsNotSignedIsFound() async throws {
    let log = try await makeLog()
    var marker = try marker(log, at: LogPosition(20))
    marker.policy = "another"
    try append(.logTrimmed(marker))
    let position = try log.lastPosition()
    #expect(
      throws: StoreError.damaged(
        position, .index("the signature of its trim marker does not hold"))
    ) { try Verifier(log).verify() }
  }

  @Test func aMarkerOfAnotherEntryIsFound() async throws {
    let log = try await makeLog()
    var marker = try marker(log, at: LogPosition(20))
    let key = try #require(SigningKey(bytes: [UInt8](repeating: 3, count: 32)))
    marker = try #require(
      TrimMarker(
        through: LogPosition(21), hash: marker.hash, version: marker.version,
        digest: marker.digest, policy: "test", of: testCatalog, signedWith: key))
    try append(.logTrimmed(marker))
    let position = try log.lastPosition()
    #expect(
      throws: StoreError.damaged(
        position, .index("its trim marker names another entry than there is"))
    ) { try Verifier(log).verify() }
  }

  @Test func aDamagedNodeOfACheckpointIsFound() async throws {
    let log = try await makeLog()
    let store = try checkpoints(.readWrite)
    let ids = try store.nodeIDs().sorted()
    for id in [ids.first, ids[ids.count / 2], ids.last].compactMap({ $0 }) {
      let original = try #require(try store.node(id))
      var bytes = original
      bytes[bytes.count / 2] ^= 1
      try store.put(bytes, at: id)
      let error = #expect(throws: StoreError.self) {
        try Verifier(log, checkpoints: store).verify()
      }
      guard case .checkpointDamaged? = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      try store.put(original, at: id)
    }
    #expect(try Verifier(log, checkpoints: store).verify().checkpointCount == 4)
  }

  /// Commitments and proofs go on where the first entries are gone.
  @Test func aTrimmedLogIsVerifiedAndProvesOn() async throws {
    var log = try await makeLog()
    let whole = try log.entries(from: LogPosition(1), maxCount: .max)
    log = try EventLog.open(folder: folder.path, mode: .readOnly)
    var options = StoreOptions()
    options.checkpoints = .onRequest
    let store = try CatalogStore.open(
      folder: folder.path, options: options, wallMilliseconds: clock.read)
    let key = try #require(SigningKey(bytes: [UInt8](repeating: 3, count: 32)))
    // Everything is long ago.
    let now = try #require(whole.last).entry.time.milliseconds + 1_000_000
    var policy = RetentionPolicy.everything
    policy.log = .seconds(1)
    let report = try store.trim(policy, nowMilliseconds: now) { key }
    #expect(report.base == CatalogVersion(120))
    for number in UInt64(121)...150 {
      _ = try await store.submit(command(number, split(padded(number))))
    }
    let root = try #require(try await store.checkpointNow())
    let last = try await store.wait { $0.appliedThrough > root.position }
    store.close()

    let checkpoints = try checkpoints()
    let summary = try Verifier(log, checkpoints: checkpoints).verify()
    #expect(summary.first > LogPosition(120))
    #expect(summary.commitmentCount >= 1)
    #expect(summary.markers.map(\.publicKey) == [key.publicKey])
    var frontier = LogFrontier()
    for entry in whole where entry.entry.position < summary.first { frontier.append(entry.hash) }
    for entry in try log.entries(from: summary.first, maxCount: .max)
    where entry.entry.position <= root.position {
      frontier.append(entry.hash)
    }
    #expect(try checkpoints.newestCommitment()?.frontier == frontier)
    for version in [CatalogVersion(121), CatalogVersion(150)] {
      let (proof, proven) = try Prover(log, checkpoints: checkpoints).prove(
        Key(padded(130)), at: version)
      #expect(proof.anchor > .zero)
      #expect(proven.route.version <= version)
      #expect(proven.headHash == last.lastHash)
    }
  }

  @Test func whatIsSignedIsTheWholeSummary() async throws {
    let summary = try Verifier(try await makeLog()).verify()
    let changes: [(inout LogSummary) -> Void] = [
      { $0.last = $0.last.next }, { $0.headHash = .genesis(of: testCatalog) },
      { $0.headTime = $0.headTime.next }, { $0.version = $0.version.next },
      { $0.digest = .zero }, { $0.catalog = catalogID("another catalog0") },
    ]
    for change in changes {
      var altered = summary
      change(&altered)
      #expect(altered.signedMessage != summary.signedMessage)
    }
  }
}

extension CheckpointStore {
  fileprivate func node(_ id: UInt64) throws(StoreError) -> [UInt8]? {
    try environment.read { transaction throws(StoreError) in
      try transaction.value(of: id, in: tables.nodes) { [UInt8]($0) }
    }
  }

  fileprivate func put(_ bytes: [UInt8], at id: UInt64) throws(StoreError) {
    try environment.write { transaction throws(StoreError) in
      try bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: id, in: tables.nodes)
      }
    }
  }
}
