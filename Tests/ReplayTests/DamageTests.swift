import Catalog
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// Each kind of damage is found, and the report names the entry.
@Suite struct DamageTests {
  let folder = TemporaryFolder()
  let clock = TestClock()

  /// A log of `count` entries of which `damage` changes the tables.
  private func log(
    count: Int = 40,
    _ damage: (EventLog, borrowing LMDB.WriteTransaction) throws(StoreError) -> Void
  ) throws -> EventLog {
    do {
      let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
      try log.append(try makeEntries(count).entries)
      try log.environment.write { transaction throws(StoreError) in try damage(log, transaction) }
    }
    return try EventLog.open(folder: folder.path, mode: .readOnly, provesEnd: false)
  }

  /// Flips a bit of the entry at `position`, `offset` bytes from its beginning or, if negative, end.
  private func flip(
    _ position: UInt64, offset: Int, in log: EventLog,
    _ transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) {
    let bytes = try transaction.value(of: position, in: log.tables.entries) { [UInt8]($0) }
    guard var bytes else { throw .gap(expected: LogPosition(position), found: .zero) }
    bytes[offset < 0 ? bytes.count + offset : offset] ^= 1
    try bytes.withRawBytes { (raw) throws(StoreError) in
      try transaction.put(raw, for: position, in: log.tables.entries)
    }
  }

  /// The position that the error names.
  private func position(named error: StoreError) -> UInt64? {
    switch error {
    case .damaged(let position, _), .unproven(let position, _), .needsNewerReader(let position, _):
      position.rawValue
    case .gap(let expected, _): expected.rawValue
    default: nil
    }
  }

  @Test(arguments: testSeeds(count: 60))
  func aFlippedBitAnywhereIsFound(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let target = UInt64.random(in: 1...40, using: &generator)
    let size = try makeEntries(40).entries[Int(target) - 1].bytes.count
    let offset = Int.random(in: 0..<size, using: &generator)
    let log = try log { log, transaction throws(StoreError) in
      try flip(target, offset: offset, in: log, transaction)
    }
    let error = #expect(throws: StoreError.self) { try Verifier(log).verify() }
    #expect(
      error.flatMap(position(named:)) == target, "offset \(offset): \(String(describing: error))")
  }

  @Test func aChangedWordIsFoundThoughItDecodes() throws {
    // The reason's last letter: everything decodes and applies, and only the chain tells.
    for target in [UInt64(5), 39, 40] {
      let folder = TemporaryFolder()
      let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
      try log.append(try makeEntries(40).entries)
      let bytes = try log.entryBytes(from: LogPosition(target), maxCount: 1)[0]
      let reason = Array("a test".utf8)
      let offset = (0..<bytes.count).first { bytes[$0...].starts(with: reason) }
      try log.environment.write { transaction throws(StoreError) in
        try flip(target, offset: (offset ?? 0) + 5, in: log, transaction)
      }
      let error = #expect(throws: StoreError.self) { try Verifier(log).verify() }
      #expect(error.flatMap(position(named:)) == target)
    }
  }

  @Test func aMissingEntryIsAGap() throws {
    let log = try log { log, transaction throws(StoreError) in
      try transaction.remove(17, from: log.tables.entries)
    }
    #expect(throws: StoreError.gap(expected: LogPosition(17), found: LogPosition(18))) {
      try Verifier(log).verify()
    }
    #expect(throws: StoreError.gap(expected: LogPosition(17), found: LogPosition(18))) {
      try log.entries(from: LogPosition(17), maxCount: 4)
    }
    #expect(try log.entries(from: LogPosition(15), maxCount: 4).count == 2)
  }

  @Test func aLostTailIsFoundOnOpening() throws {
    let log = try log { log, transaction throws(StoreError) in
      try transaction.remove(40, from: log.tables.entries)
    }
    let expected = StoreError.gap(expected: LogPosition(40), found: LogPosition(40))
    #expect(throws: expected) { try log.tail() }
    #expect(throws: StoreError.self) { try Verifier(log).verify() }
    #expect(throws: expected) { try EventLog.open(folder: folder.path, mode: .readOnly) }
  }

  @Test func aDamagedTailIsFoundOnOpening() throws {
    _ = try log { log, transaction throws(StoreError) in
      try flip(40, offset: -1, in: log, transaction)
    }
    #expect {
      try EventLog.open(folder: folder.path, mode: .readOnly)
    } throws: { ($0 as? StoreError).flatMap(position(named:)) == 40 }
  }

  @Test func aMissingNoteOfTheEndIsFound() throws {
    do {
      let log = try log { log, transaction throws(StoreError) in
        try transaction.remove(LogTables.MetaKey.head, from: log.tables.meta)
      }
      let error = #expect(throws: StoreError.self) { try Verifier(log).verify() }
      #expect(error.flatMap(position(named:)) == 40)
    }
    let store = try CatalogStore.open(folder: folder.path, wallMilliseconds: clock.read)
    #expect(store.condition.flatMap(position(named:)) == 40)
    store.close()
  }

  /// No number in a damaged table may end the process.
  @Test(arguments: [UInt64(0), .max, 1 << 63])
  func aPositionThatNoLogReachesIsFound(position: UInt64) throws {
    let log = try log { log, transaction throws(StoreError) in
      try commandID(1).bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: position, in: log.tables.entries)
        try transaction.put(bytes, for: position, in: log.tables.commands)
      }
    }
    #expect(throws: StoreError.self) { try Verifier(log).verify() }
    _ = try? log.tail()
    _ = try? log.position(at: HybridTimestamp(1))
    _ = try? log.entry(of: commandID(1_000))
  }

  @Test func indexesThatDisagreeAreFound() throws {
    let log = try log { log, transaction throws(StoreError) in
      try transaction.remove(9, from: log.tables.commands)
    }
    let error = #expect(throws: StoreError.self) { try Verifier(log).verify() }
    #expect(error.flatMap(position(named:)) == 9)
  }

  @Test func anIndexOfVersionsThatDisagreesIsFound() throws {
    let log = try log { log, transaction throws(StoreError) in
      try UInt64(3).withStoredBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: 21, in: log.tables.versions)
      }
    }
    let error = #expect(throws: StoreError.self) { try Verifier(log).verify() }
    #expect(error.flatMap(position(named:)) == 21)
  }

  /// What is proven before the damage is served; nothing is written behind it.
  @Test func aStoreServesWhatIsProven() async throws {
    _ = try log { log, transaction throws(StoreError) in
      try flip(30, offset: 20, in: log, transaction)
    }
    let store = try CatalogStore.open(folder: folder.path, wallMilliseconds: clock.read)
    #expect(store.condition.flatMap(position(named:)) == 30)
    #expect(store.current.appliedThrough == LogPosition(29))
    #expect(store.table(at: CatalogVersion(12))?.count == 12)
    let failure = await #expect(throws: CommandFailure.self) {
      try await store.submit(command(100, split("x")))
    }
    guard case .storage? = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    store.close()
  }

  /// The state before the damage, wherever the damage is, is the newest version of the history.
  @Test(arguments: [UInt64(3), 20, 30, 31, 38])
  func historyEndsWithTheStateBeforeTheDamage(position: UInt64) throws {
    _ = try log { log, transaction throws(StoreError) in
      try flip(position, offset: 20, in: log, transaction)
    }
    var options = StoreOptions()
    options.historyCapacity = 10
    let store = try CatalogStore.open(
      folder: folder.path, options: options, wallMilliseconds: clock.read)
    #expect(store.current.appliedThrough == LogPosition(position - 1))
    #expect(store.retainedVersions.upperBound == store.current.version)
    #expect(store.table(at: store.current.version)?.digest == store.current.routes.digest)
    store.close()
  }

  @Test func aLearnerIsCuredByAStateFromElsewhere() throws {
    _ = try log { log, transaction throws(StoreError) in
      try flip(40, offset: 20, in: log, transaction)
    }
    let (entries, state) = try makeEntries(50)
    let store = try CatalogStore.open(
      folder: folder.path, options: StoreOptions(role: .learner), wallMilliseconds: clock.read)
    #expect(store.condition != nil)
    #expect(throws: StoreError.self) { try store.appendReplicated(Array(entries[39...])) }
    try store.installState(try stateAfter(45, of: entries))
    #expect(store.condition == nil)
    try store.appendReplicated(Array(entries[45...]))
    #expect(store.current.digest == state.digest)
    store.close()
    let log = try EventLog.open(folder: folder.path, mode: .readOnly)
    #expect(try Verifier(log).verify().digest == state.digest)
  }

  @Test func aDamagedBaseIsNamed() throws {
    let (entries, _) = try makeEntries(20)
    let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
    try log.install(base: try stateAfter(20, of: entries))
    try log.environment.write { transaction throws(StoreError) in
      let chunk = try transaction.value(of: 0, in: log.tables.base) { [UInt8]($0) }
      guard var chunk else { throw .baseDamaged("the test") }
      chunk[2] ^= 4
      try chunk.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: 0, in: log.tables.base)
      }
    }
    #expect {
      try Verifier(log).verify()
    } throws: { error in
      guard case StoreError.baseDamaged = error else { return false }
      return true
    }
  }
}

/// The state after the first `count` entries.
func stateAfter(_ count: Int, of entries: [EncodedEntry]) throws -> CatalogState {
  var state = CatalogState(catalog: testCatalog)
  for entry in entries.prefix(count) { try state.evolve(entry) }
  return state
}
