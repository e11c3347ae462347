import Catalog
import StateMachines
import Synchronization
import TestSupport
import Testing

@testable import Replay

@Suite struct CatalogStoreTests {
  let folder = TemporaryFolder()
  let clock = TestClock()

  private func create(_ options: StoreOptions = StoreOptions()) throws -> CatalogStore {
    try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: options, wallMilliseconds: clock.read)
  }

  private func open(_ options: StoreOptions = StoreOptions()) throws -> CatalogStore {
    try CatalogStore.open(folder: folder.path, options: options, wallMilliseconds: clock.read)
  }

  @Test func commandsSurviveReopening() async throws {
    let store = try create()
    let first = try await store.submit(command(1, oneRoute))
    #expect(first.outcome == .appended)
    #expect(first.version == CatalogVersion(1))
    #expect(first.newRoutes == [RouteID(1)])
    let second = try await store.submit(command(2, split("m")))
    #expect(second.position == LogPosition(2))
    #expect(second.newRoutes == [RouteID(2)])
    let digest = store.current.digest
    store.close()

    let again = try open()
    #expect(again.current.digest == digest)
    #expect(again.current.version == CatalogVersion(2))
    #expect(again.condition == nil)
    #expect(again.table(at: CatalogVersion(1))?.count == 1)
    #expect(again.delta(to: CatalogVersion(2))?.upserted.count == 2)
    #expect(try again.receipt(of: commandID(2))?.position == LogPosition(2))
    #expect(try again.receipt(of: commandID(3)) == nil)
    let repeated = try await again.submit(command(2, split("m")))
    #expect(repeated.outcome == .repeated)
    #expect(repeated.newRoutes == [RouteID(2)])
    await #expect(throws: CommandFailure.commandIDReused(commandID(2), position: LogPosition(2))) {
      try await again.submit(command(2, split("n")))
    }
    let done = try await again.submit(command(3, split("m")))
    #expect(done.outcome == .alreadyDone)
    #expect(done.position == LogPosition(2))
    again.close()
    again.close()
    await #expect(throws: CommandFailure.closed) { try await again.submit(command(4, split("z"))) }
    // What is in memory and in the log can be read still.
    #expect(again.current.digest == digest)
    #expect(try again.entries(from: LogPosition(1), maxCount: 9).count == 2)
  }

  @Test func refusalsReachTheCaller() async throws {
    let store = try create()
    await #expect(throws: CommandFailure.refused(.notBootstrapped)) {
      try await store.submit(command(1, split("m")))
    }
    // A refused id is free to be used.
    _ = try await store.submit(command(1, oneRoute))
    store.close()
  }

  @Test func manyThreadsShareCommits() async throws {
    var options = StoreOptions()
    options.commitsToCheckpoints = false  // Entries are counted here.
    let store = try create(options)
    _ = try await store.submit(command(1, oneRoute))
    let before = try transactionCount()
    let count = 64
    let perThread = 25
    let answers = Mutex<[CommandID: [Receipt]]>([:])
    let threads = try (0..<count).map { thread throws(StoreError) in
      try WorkerThread(name: "client") {
        for number in 0..<perThread {
          let id = UInt64(thread * perThread + number + 2)
          let answer = Monitor<Receipt?>(nil)
          store.submit(command(id, .move([RouteID(1)], to: GroupID(id)))) { result in
            let receipt = try? result.get()
            answers.withLock { answers in
              if let receipt { answers[receipt.command, default: []].append(receipt) }
            }
            answer.change {
              $0 =
                receipt
                ?? Receipt(
                  command: commandID(id), position: .zero, version: .zero, outcome: .repeated)
            }
          }
          _ = answer.wait { $0 }
        }
      }
    }
    for thread in threads { thread.join() }
    let receipts = answers.withLock { $0 }
    #expect(receipts.count == count * perThread)
    #expect(receipts.values.allSatisfy { $0.count == 1 && $0[0].outcome == .appended })
    #expect(Set(receipts.values.map { $0[0].position }).count == count * perThread)
    #expect(store.current.appliedThrough == LogPosition(UInt64(count * perThread + 1)))
    let commits = try transactionCount() - before
    #expect(commits < count * perThread / 2, "\(commits) commits")
    store.close()
  }

  private func transactionCount() throws -> Int {
    let lease = try EnvironmentRegistry.lease(
      folder: folder.path, mode: .readOnly, sizes: LMDB.MapSize())
    return lease.environment.lastTransaction
  }

  /// Holds the writer thread in a completion until the returned closure is called, so that what is
  /// sent meanwhile shares a commit.
  private func holdWriter(of store: CatalogStore, id: UInt64) -> () -> Void {
    let gate = Monitor((isHeld: false, isOpen: false))
    store.submit(command(id, .split([]))) { _ in
      gate.change { $0.isHeld = true }
      gate.wait { $0.isOpen ? () : nil }
    }
    gate.wait { $0.isHeld ? () : nil }
    return { gate.change { $0.isOpen = true } }
  }

  @Test func oneCommitDecidesInOrderAndOnce() async throws {
    let store = try create()
    _ = try await store.submit(command(1, oneRoute))
    let release = holdWriter(of: store, id: 900)
    let results = Mutex<[Result<Receipt, CommandFailure>]>([])
    let commands = [
      command(2, split("m")),
      command(2, split("m")),  // The same again.
      command(2, split("n")),  // Another under its id.
      command(3, split("m")),  // Done by the first.
      command(4, .merge([MergeRequest(left: RouteID(1), right: RouteID(2))])),
      command(5, split("m")),  // To be done anew.
    ]
    for command in commands {
      store.submit(command) { result in results.withLock { $0.append(result) } }
    }
    let before = try transactionCount()
    release()
    _ = try await store.submit(command(6, split("z")))
    let outcomes = results.withLock { $0 }.map { result -> String in
      switch result {
      case .success(let receipt): "\(receipt.outcome) \(receipt.position) \(receipt.newRoutes)"
      case .failure(.commandIDReused(_, let position)): "reused \(position)"
      case .failure(let failure): "\(failure)"
      }
    }
    #expect(
      outcomes == [
        "appended 2 [2]", "repeated 2 [2]", "reused 2", "alreadyDone 2 []", "appended 3 []",
        "appended 4 [3]",
      ])
    #expect(try transactionCount() - before <= 2)
    store.close()
  }

  @Test func whoIsTooManyIsRefused() async throws {
    var options = StoreOptions()
    options.maximumWaitingCount = 10
    let store = try create(options)
    _ = try await store.submit(command(1, oneRoute))
    let release = holdWriter(of: store, id: 900)
    let answered = Monitor(0)
    for id in UInt64(2)...11 {
      store.submit(command(id, split(padded(id)))) { _ in answered.change { $0 += 1 } }
    }
    await #expect(throws: CommandFailure.overloaded(waiting: 10)) {
      try await store.submit(command(12, split("x")))
    }
    release()
    answered.wait { $0 == 10 ? () : nil }
    _ = try await store.submit(command(12, split("x")))
    store.close()
  }

  @Test func closingFinishesWhatWaits() async throws {
    let store = try create()
    _ = try await store.submit(command(1, oneRoute))
    let release = holdWriter(of: store, id: 900)
    let answers = Atomic(0)
    for id in UInt64(2)...200 {
      store.submit(command(id, split(padded(id)))) { result in
        if case .success = result { answers.add(1, ordering: .relaxed) }
      }
    }
    let closer = try WorkerThread(name: "closer") { store.close() }
    release()
    closer.join()
    #expect(answers.load(ordering: .relaxed) == 199)
    // The folder is free.
    let again = try open()
    #expect(again.current.appliedThrough == LogPosition(200))
    again.close()
  }

  @Test func aStoreMayGoWithItsLastAnswer() async throws {
    var store: CatalogStore? = try create()
    let isDone = Monitor(false)
    let box = Mutex<CatalogStore?>(store)
    store?.submit(command(1, oneRoute)) { _ in
      box.withLock { $0 = nil }
      isDone.change { $0 = true }
    }
    store = nil
    isDone.wait { $0 ? () : nil }
  }

  // MARK: Waiting

  @Test func waitersAreWoken() async throws {
    let store = try create()
    let waiter = Task {
      try await store.wait { $0.version >= CatalogVersion(50) }.version
    }
    for id in UInt64(1)...60 {
      _ = try await store.submit(command(id, id == 1 ? oneRoute : split(padded(id))))
    }
    #expect(try await waiter.value >= CatalogVersion(50))
    // At once, when it is so already.
    #expect(try await store.wait { $0.version > .zero }.version == CatalogVersion(60))
    store.close()
    await #expect(throws: CancellationError.self) {
      try await store.wait { $0.version > CatalogVersion(60) }
    }
  }

  @Test func waitersThatAreCancelledLeave() async throws {
    let store = try create()
    let waiters = (0..<20).map { _ in
      Task { try await store.wait { $0.version > CatalogVersion(1_000_000) } }
    }
    while store.listenerCount < 20 { await Task.yield() }
    for waiter in waiters { waiter.cancel() }
    for waiter in waiters {
      await #expect(throws: CancellationError.self) { try await waiter.value }
    }
    while store.listenerCount > 0 { await Task.yield() }
    store.close()
  }

  // MARK: Learning

  @Test func aLearnerKeepsWhatIsProvenAndNoMore() throws {
    let (entries, state) = try makeEntries(40)
    let store = try create(StoreOptions(role: .learner))
    try store.appendReplicated(Array(entries[..<10]))
    // Sent again after a reconnect, with more.
    try store.appendReplicated(Array(entries[5..<20]))
    #expect(store.current.appliedThrough == LogPosition(20))
    #expect(store.table(at: CatalogVersion(17))?.count == 17)

    // An entry that says something else than it does.
    var lie = entries[25].entry
    lie.digest = entries[24].entry.digest
    let bad = try EncodedEntry(lie)
    let error = #expect(throws: StoreError.self) {
      try store.appendReplicated(Array(entries[20..<25]) + [bad] + Array(entries[26...]))
    }
    guard case .unproven(LogPosition(26), .diverged)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(store.current.appliedThrough == LogPosition(25))
    #expect(throws: StoreError.self) { try store.appendReplicated([entries[30]]) }
    try store.appendReplicated(Array(entries[25...]))
    #expect(store.current.digest == state.digest)
    store.close()
    let log = try EventLog.open(folder: folder.path, mode: .readOnly)
    #expect(try Verifier(log).verify().entryCount == 40)
  }

  @Test func aLearnerTakesOverAState() async throws {
    let (entries, state) = try makeEntries(40)
    var store = try create(StoreOptions(role: .learner))
    try store.appendReplicated(Array(entries[..<10]))
    try await store.install(try stateAfter(30, of: entries))
    #expect(store.current.appliedThrough == LogPosition(30))
    #expect(store.retainedVersions == CatalogVersion(30)...CatalogVersion(30))
    #expect(store.delta(to: CatalogVersion(30)) == nil)
    try await store.replicate(Array(entries[30...]))
    #expect(store.delta(to: CatalogVersion(31))?.upserted.count == 2)
    store.close()
    store = try open(StoreOptions(role: .learner))
    #expect(store.current.digest == state.digest)
    #expect(try store.firstPosition() == LogPosition(31))
    await #expect(throws: CommandFailure.notLeader) {
      try await store.submit(command(99, split("x")))
    }
    store.close()
  }

  /// A clock that is far off is the operator's to mend, and leaves no trace in the log.
  @Test func aClockThatIsFarOffIsRefused() async throws {
    let wall = Mutex<UInt64>(.max)
    let store = try CatalogStore.create(folder: folder.path, catalog: testCatalog) {
      wall.withLock { $0 }
    }
    for time in [UInt64.max, 1 << 48, 1 << 47, 7_258_118_400_001] {
      wall.withLock { $0 = time }
      let failure = await #expect(throws: CommandFailure.self) {
        try await store.submit(command(1, oneRoute))
      }
      guard case .refused(.clockWrong)? = failure else {
        Issue.record("\(String(describing: failure))")
        continue
      }
    }
    wall.withLock { $0 = 1_785_312_000_000 }
    #expect(try await store.submit(command(1, oneRoute)).outcome == .appended)
    #expect(store.current.lastTime.milliseconds == 1_785_312_000_000)
    store.close()
  }

  /// LMDB's own codes say that its pages are not as it left them: nothing is written behind them.
  @Test func onlyTheSystemsErrorsPass() throws {
    let store = try create()
    store.close()
    let failures: [(StoreError, passes: Bool)] = [
      (.diskFull(folder: ""), true), (.system(operation: "write", code: 5, message: ""), true),
      (.system(operation: "write", code: -30796, message: "MDB_CORRUPTED"), false),
      (.system(operation: "write", code: -30799, message: "MDB_KEYEXIST"), false),
      (.system(operation: "write", code: 0, message: "no transaction"), false),
      (.damaged(LogPosition(1), .brokenChain), false),
    ]
    for (error, passes) in failures {
      let log = try EventLog.open(folder: folder.path, mode: .readOnly)
      let state = CatalogState(catalog: testCatalog)
      let writer = try StoreWriter(
        log: log, writing: log, start: StartingPoint(state: state), in: nil,
        published: Published(state, history: CatalogHistory(from: state.routes)),
        failure: nil, options: StoreOptions(), wallMilliseconds: clock.read)
      writer.noteFailure(error)
      #expect((writer.reasonForRefusal == nil) == passes, "\(error)")
    }
  }

  /// A mirror's folder serves as a leader's: commands that were sent to the old leader are known.
  @Test func aLearnersFolderIsPromoted() async throws {
    let (entries, _) = try makeEntries(10)
    let learner = try create(StoreOptions(role: .learner))
    try learner.appendReplicated(entries)
    learner.close()
    // Not by accident: what is decided here would be another history than the leader's.
    #expect(throws: StoreError.isMirror(folder: folder.path)) { try open() }
    var options = StoreOptions()
    options.promotesMirror = true
    try open(options).close()
    let leader = try open()
    let repeated = try await leader.submit(command(4, split(padded(3))))
    #expect(repeated.outcome == .repeated)
    #expect(repeated.position == LogPosition(4))
    await #expect(throws: CommandFailure.commandIDReused(commandID(4), position: LogPosition(4))) {
      try await leader.submit(command(4, split("something else")))
    }
    #expect(try await leader.submit(command(11, split("x"))).position == LogPosition(11))
    leader.close()
  }

  /// Without a fingerprint the entry alone tells: a cut that would have been made was not asked for.
  @Test func cutsThatWereNotMadeTellChangesApart() {
    func splits(_ keys: String...) -> RouteChange { .split(keys.map { SplitRequest(at: Key($0)) }) }
    let events: [Event] = [
      .routeSplit(
        route: RouteID(1), start: Key("b"), boundary: Key("d"), newRoute: RouteID(2)),
      .routeSplit(
        route: RouteID(2), start: Key("d"), boundary: Key("f"), newRoute: RouteID(3)),
    ]
    #expect(splits("f", "d").couldHaveMade(events))
    #expect(splits("d", "f", "b", "f").couldHaveMade(events), "a route started there already")
    for other in [splits("d"), splits("c", "d", "f"), splits("d", "e", "f"), splits("d", "g")] {
      #expect(!other.couldHaveMade(events))
    }
    #expect(!RouteChange.move([RouteID(1)], to: GroupID(1)).couldHaveMade(events))
  }
}
