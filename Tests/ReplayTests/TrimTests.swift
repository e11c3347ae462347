import Catalog
import Foundation
import StateMachines
import Synchronization
import TestSupport
import Testing

@testable import Replay

@Suite struct TrimTests {
  let folder = TemporaryFolder()
  let clock = TestClock()

  private static let key = SigningKey(bytes: [UInt8](repeating: 7, count: 32))

  private func key() throws(StoreError) -> SigningKey {
    try SigningKeyFile.loadOrMake(in: folder.path) { [UInt8](repeating: 7, count: 32) }
  }

  private func options(_ role: StoreRole = .leader) -> StoreOptions {
    var options = StoreOptions(role: role)
    options.historyCapacity = 16
    options.checkpoints = .onRequest
    options.log.initialMapSize = 64 << 10
    options.commitsToCheckpoints = false  // Entries are counted here.
    return options
  }

  private func open(_ role: StoreRole = .leader) throws -> CatalogStore {
    try CatalogStore.open(
      folder: folder.path, options: options(role), wallMilliseconds: clock.read)
  }

  /// A store with 100 versions and a checkpoint at every tenth.
  private func filled() async throws -> CatalogStore {
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: options(), wallMilliseconds: clock.read)
    for number in UInt64(1)...100 {
      _ = try await store.submit(command(number, number == 1 ? oneRoute : split(padded(number))))
      if number % 10 == 0 { _ = try await store.checkpointNow() }
    }
    return store
  }

  /// Keeps what came after the version's time, of the checkpoints all.
  private func policy(after version: UInt64, in store: CatalogStore) throws -> (
    RetentionPolicy, now: UInt64
  ) {
    let position = try #require(try store.position(of: CatalogVersion(version)))
    let time = try store.entries(from: position, maxCount: 1)[0].entry.time
    var policy = RetentionPolicy.everything
    policy.log = .seconds(1_000)
    return (policy, time.milliseconds + 1_000_000)
  }

  @Test func entriesBeforeTheHorizonGo() async throws {
    var store = try await filled()
    let state = store.current
    let (policy, now) = try policy(after: 45, in: store)
    let preview = try store.trimPreview(policy, nowMilliseconds: now)
    #expect(try store.firstPosition() == LogPosition(1))
    let report = try store.trim(policy, nowMilliseconds: now, compacting: .always, signingWith: key)
    #expect(report.base == CatalogVersion(40) && report.baseBefore == .zero)
    #expect(report.dropped.map(\.rawValue) == [10, 20, 30])
    #expect(report.keptCount == 7)
    #expect(report.entryCount == 40 && report.entryByteCount > 4_000)
    #expect(preview.dropped == report.dropped && preview.entryCount == report.entryCount)
    #expect(preview.entryByteCount == report.entryByteCount)
    #expect(preview.nodeCount.map { $0 > 0 } == true && preview.nodeCount == report.nodeCount)
    #expect(preview.nodeByteCount == report.nodeByteCount)
    #expect(report.logFile.map { $0.after > 0 } == true)
    #expect(report.checkpointFile.map { $0.after < $0.before } == true)
    #expect(try store.firstPosition() == LogPosition(41))
    #expect(throws: StoreError.notRetained(LogPosition(40), first: LogPosition(41))) {
      try store.entries(from: LogPosition(40), maxCount: 1)
    }
    #expect(try store.position(of: CatalogVersion(40)) == nil)
    #expect(try store.position(of: CatalogVersion(41)) == LogPosition(41))

    // The marker: signed, and the only new entry; it makes no version.
    #expect(store.current.version == state.version)
    #expect(store.current.digest == state.digest)
    let entry = try store.entries(from: state.appliedThrough.next, maxCount: 9)
    try #require(entry.count == 1)
    guard case .logTrimmed(let marker)? = entry[0].entry.events.first else {
      Issue.record("\(entry[0].entry.events)")
      return
    }
    #expect(marker.through == LogPosition(40) && marker.version == CatalogVersion(40))
    #expect(marker.isSigned(for: testCatalog))
    #expect(try marker.publicKey == key().publicKey)
    #expect(marker.policy == policy.description)
    var mode = stat()
    #expect(stat(folder.path + "/signing.key", &mode) == 0 && mode.st_mode & 0o777 == 0o600)

    // Nothing more to do, and the store goes on, now and after it was opened again.
    let again = try store.trim(policy, nowMilliseconds: now, signingWith: key)
    #expect(again.isEmpty)
    #expect(store.current.appliedThrough == state.appliedThrough.next)
    _ = try await store.submit(command(200, split("x")))
    store.close()
    store = try open()
    #expect(store.condition == nil)
    #expect(store.current.version == CatalogVersion(101))
    #expect(try await store.submit(command(200, split("x"))).outcome == .repeated)
    store.close()
    let log = try EventLog.open(folder: folder.path, mode: .readOnly)
    let summary = try Verifier(log).verify()
    #expect(summary.first == LogPosition(41) && summary.version == CatalogVersion(101))
    #expect(try log.base()?.version == CatalogVersion(40))
    #expect(try Replayer(log).replay().digest == summary.digest)
  }

  @Test func trimsFollowOneAnother() async throws {
    let store = try await filled()
    for (version, base) in [(UInt64(25), UInt64(20)), (58, 50), (59, 50), (100, 100)] {
      let (policy, now) = try policy(after: version, in: store)
      let report = try store.trim(policy, nowMilliseconds: now, signingWith: key)
      #expect(report.base == CatalogVersion(base))
      #expect(try store.firstPosition() == LogPosition(base + 1))
      let log = try EventLog.open(folder: folder.path, mode: .readOnly)
      #expect(try Verifier(log).verify().version == CatalogVersion(100))
    }
    store.close()
    let again = try open()
    #expect(again.condition == nil)
    #expect(again.current.version == CatalogVersion(100))
    _ = try await again.submit(command(200, split("x")))
    again.close()
  }

  @Test func checkpointsAreThinnedOut() async throws {
    let store = try await filled()
    var policy = RetentionPolicy()
    policy.everyCheckpoint = .zero
    let now = store.current.lastTime.milliseconds + 2 * 3_600_000
    let report = try store.trim(policy, nowMilliseconds: now, signingWith: key)
    // All within an hour: the first stays, and the newest.
    #expect(try store.checkpoints?.roots().map(\.version.rawValue) == [10, 100])
    #expect(report.dropped.count == 8 && (report.nodeCount ?? 0) > 0)
    #expect(report.entryCount == 0)
    #expect(try store.firstPosition() == LogPosition(1))
    #expect(store.current.appliedThrough == LogPosition(100), "no marker where no entry went")
    for root in try #require(store.checkpoints).roots() {
      #expect(try store.checkpoints?.load(root).header == root.header)
    }
    store.close()
  }

  @Test func aLearnerTrimsForItselfAlone() async throws {
    try await filled().close()
    let store = try open(.learner)
    let state = store.current
    let (policy, now) = try policy(after: 45, in: store)
    let report = try store.trim(policy, nowMilliseconds: now, signingWith: key)
    #expect(report.entryCount == 40)
    #expect(store.current.header == state.header)
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/signing.key"))
    store.close()
    #expect(try open(.learner).current.header == state.header)
  }

  @Test func aDamagedCheckpointIsNoBeginning() async throws {
    let store = try await filled()
    let checkpoints = try #require(store.checkpoints)
    let root = try #require(try checkpoints.roots().first { $0.version.rawValue == 40 })
    let id = try #require(root.trees[0].root?.id)
    try checkpoints.environment.write { transaction throws(StoreError) in
      try [UInt8](repeating: 1, count: 40).withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: id, in: checkpoints.tables.nodes)
      }
    }
    let (policy, now) = try policy(after: 45, in: store)
    let report = try store.trim(policy, nowMilliseconds: now, signingWith: key)
    #expect(report.damaged == [CatalogVersion(40)])
    #expect(report.base == CatalogVersion(30))
    #expect(try store.firstPosition() == LogPosition(31))
    store.close()
  }

  /// Somebody else may write the folder by then.
  @Test func aClosedStoreTrimsNothing() async throws {
    let store = try await filled()
    let (policy, now) = try policy(after: 45, in: store)
    store.close()
    #expect(throws: StoreError.self) {
      try store.trim(policy, nowMilliseconds: now, signingWith: key)
    }
    #expect(throws: StoreError.self) { try store.compactLog() }
    let log = try EventLog.open(folder: folder.path, mode: .readOnly)
    #expect(try log.firstPosition() == LogPosition(1))
  }

  @Test func readersAndWritersGoOn() async throws {
    let store = try await filled()
    let isDone = Atomic(false)
    let reader = try WorkerThread(name: "reader") {
      while !isDone.load(ordering: .relaxed) {
        do throws(StoreError) {
          let first = try store.firstPosition()
          let entries = try store.entries(from: first, maxCount: 500)
          #expect(entries.first?.entry.position == first)
        } catch {
          // Between the two calls the log may have come to begin later.
          guard case .notRetained = error else {
            Issue.record("\(error)")
            return
          }
        }
      }
    }
    let trimmer = try WorkerThread(name: "trimmer") {
      var policy = RetentionPolicy.everything
      policy.log = .milliseconds(60)
      while !isDone.load(ordering: .relaxed) {
        #expect(throws: Never.self) {
          _ = try store.checkpointNow()
          let now = store.current.lastTime.milliseconds
          _ = try store.trim(
            policy, nowMilliseconds: now, compacting: .always, signingWith: key)
        }
      }
    }
    for number in UInt64(300)..<600 {
      _ = try await store.submit(command(number, split(padded(number))))
    }
    isDone.store(true, ordering: .relaxed)
    reader.join()
    trimmer.join()
    #expect(store.condition == nil)
    #expect(store.current.version == CatalogVersion(400))
    #expect(try store.firstPosition() > LogPosition(100))
    store.close()
    let log = try EventLog.open(folder: folder.path, mode: .readOnly)
    #expect(try Verifier(log).verify().version == CatalogVersion(400))
  }
}
