import Catalog
import Foundation
import StateMachines
import Synchronization
import TestSupport
import Testing

@testable import Replay

@Suite struct RegionStoreTests {
  private let folder = TemporaryFolder()
  private let clock = TestClock()

  private func region(_ name: String = "tokyo") throws -> Region { try Region(name) }

  private func open(
    _ options: RegionOptions = RegionOptions(),
    observer: @escaping RegionStore.Observer = { _, _ in }
  ) throws -> RegionStore {
    try RegionStore.open(
      folder: folder.path, region: try region(), catalog: testCatalog, options: options,
      wallMilliseconds: clock.read, observer: observer)
  }

  private func lead(_ groups: ClosedRange<UInt64>, _ id: UInt64) throws -> RegionCommand {
    RegionCommand(
      id: commandID(id), actor: "tokyo-1", reason: "lead",
      change: .lead(
        LeadRequest(
          groups: GroupSet(
            GroupRun(GroupID(groups.lowerBound), through: GroupID(groups.upperBound))),
          leader: try MemberName("tokyo-1"),
          ceiling: HybridTimestamp(milliseconds: clock.read() + 3000), lease: Milliseconds(3000))))
  }

  private func begin(_ id: UInt64, command: UInt64) throws -> RegionCommand {
    RegionCommand(
      id: commandID(command), actor: "coordinator", reason: "begin",
      change: .begin(
        try #require(TransactionID(bytes: commandID(id).bytes)),
        participants: GroupSet(GroupRun(GroupID(id))),
        expiry: HybridTimestamp(milliseconds: 1_785_312_000_000 + 10_000_000)))
  }

  @Test func whatWasAcknowledgedIsThereAgain() async throws {
    let seen = Mutex(0)
    let store = try open { entries, _ in seen.withLock { $0 += entries.count } }
    let receipt = try await store.submit(try lead(1...100_000, 1))
    #expect(receipt.outcome == .appended && receipt.position == LogPosition(1))
    #expect(receipt.events.count == 1)
    for number in UInt64(1)...50 {
      _ = try await store.submit(try begin(number, command: 10 + number))
    }
    let state = store.current
    #expect(seen.withLock { $0 } == 51)
    store.close()
    let again = try open()
    #expect(again.current.header == state.header)
    #expect(again.condition == nil)
    #expect(again.current.ceilings.groupCount == 100_000)
    #expect(again.current.transactions.count == 50)
    again.close()
    #expect(throws: Never.self) { try open().close() }
  }

  @Test func aCommandThatIsSentAgainIsCarriedOutOnce() async throws {
    let store = try open()
    let first = try await store.submit(try begin(1, command: 7))
    let second = try await store.submit(try begin(1, command: 7))
    #expect(second.outcome == .repeated && second.position == first.position)
    #expect(second.events == first.events)
    let other = try begin(2, command: 7)
    await #expect(throws: RegionFailure.commandIDReused(commandID(7), position: LogPosition(1))) {
      try await store.submit(other)
    }
    store.close()
    let again = try open()
    #expect(try await again.submit(try begin(1, command: 7)).outcome == .repeated)
    await #expect(throws: RegionFailure.self) { try await again.submit(other) }
    // As a whole it is done, whatever its name.
    #expect(try await again.submit(try begin(1, command: 8)).outcome == .alreadyDone)
    again.close()
    await #expect(throws: RegionFailure.closed) { try await again.submit(other) }
  }

  @Test func aFolderHasOneWriter() throws {
    let store = try open()
    defer { store.close() }
    #expect {
      try open()
    } throws: { error in
      if case StoreError.inUse = error { true } else { false }
    }
  }

  @Test func streamsAreToldApart() throws {
    try open().close()
    let path = RegionEventLog.folder(of: try region(), in: folder.path)
    #expect(throws: StoreError.otherStream(folder: path, expected: nil, found: "tokyo")) {
      try EventLog.open(folder: path, mode: .readOnly)
    }
    #expect(throws: StoreError.otherStream(folder: path, expected: "osaka", found: "tokyo")) {
      try RegionEventLog.open(folder: path, region: try region("osaka"), mode: .readOnly)
    }
    let catalog = folder.appending("catalog")
    try EventLog.create(folder: catalog, catalog: testCatalog).releaseForWriting()
    #expect(throws: StoreError.otherStream(folder: catalog, expected: "tokyo", found: nil)) {
      try RegionEventLog.open(folder: catalog, region: try region(), mode: .readOnly)
    }
  }

  /// The log keeps a number of entries, and what came before them as a state.
  @Test(arguments: testSeeds(count: 3))
  func theLogBeginsLaterAsItGrows(seed: UInt64) async throws {
    var generator = SeededGenerator(seed: seed)
    var options = RegionOptions()
    options.retainedEntryCount = 20
    var expected: RegionHeader?
    var command: UInt64 = 0
    for _ in 0..<6 {
      let store = try open(options)
      if let expected { #expect(store.current.header == expected, "seed \(seed)") }
      for _ in 0..<Int.random(in: 1...70, using: &generator) {
        command += 1
        _ = try await store.submit(try begin(command, command: command))
      }
      expected = store.current.header
      store.close()
    }
    let path = RegionEventLog.folder(of: try region(), in: folder.path)
    let log = try RegionEventLog.open(folder: path, region: try region(), mode: .readOnly)
    let (first, last) = (try log.firstPosition(), try log.lastPosition())
    #expect(last == LogPosition(command), "seed \(seed)")
    #expect(first > LogPosition(1) || command < 41, "seed \(seed)")
    #expect(last.rawValue - first.rawValue < 61, "seed \(seed)")
    let core = try RegionCore(log)
    #expect(core.failure == nil && core.state.header == expected, "seed \(seed)")
    #expect(core.state.transactions.count == Int(command), "seed \(seed)")
  }

  /// Also after its entry has gone, and after the state that took its place moved on.
  @Test func aTrimmedCommandThatIsSentAgainIsCarriedOutOnce() async throws {
    var options = RegionOptions()
    options.retainedEntryCount = 10
    let command = try lead(1...9, 1)
    var store = try open(options)
    #expect(try await store.submit(command).outcome == .appended)
    for number in UInt64(2)...80 {
      _ = try await store.submit(try begin(number, command: number))
      guard number.isMultiple(of: 26) else { continue }
      if number == 52 {
        store.close()
        store = try open(options)
      }
      let receipt = try await store.submit(command)
      #expect(receipt.outcome == .repeated && receipt.position == LogPosition(1))
    }
    let other = try lead(1...9, 1)
    await #expect(throws: RegionFailure.commandIDReused(commandID(1), position: LogPosition(1))) {
      try await store.submit(other)
    }
    #expect(store.current.appliedThrough == LogPosition(80))
    store.close()
    let path = RegionEventLog.folder(of: try region(), in: folder.path)
    let log = try RegionEventLog.open(folder: path, region: try region(), mode: .readOnly)
    #expect(try log.firstPosition() > LogPosition(50))
    #expect(try log.knownCommand(at: LogPosition(1))?.record.command == commandID(1))
  }

  @Test func damageIsNamedAndWhatIsProvenIsServed() async throws {
    let store = try open()
    for number in UInt64(1)...5 { _ = try await store.submit(try begin(number, command: number)) }
    store.close()
    let path = RegionEventLog.folder(of: try region(), in: folder.path)
    do {
      let log = try EventLog.open(folder: path, mode: .readWrite, region: try region())
      try log.environment.write { transaction throws(StoreError) in
        var bytes =
          try transaction.value(of: UInt64(4), in: log.tables.entries) { [UInt8]($0) } ?? []
        bytes[70] ^= 1
        try bytes.withRawBytes { (bytes) throws(StoreError) in
          try transaction.put(bytes, for: UInt64(4), in: log.tables.entries)
        }
      }
      log.releaseForWriting()
    }
    let damaged = try open()
    defer { damaged.close() }
    #expect(damaged.current.appliedThrough == LogPosition(3))
    guard case .unproven(LogPosition(4), _)? = damaged.condition else {
      Issue.record("\(String(describing: damaged.condition))")
      return
    }
    let more = try begin(9, command: 9)
    await #expect(throws: RegionFailure.self) { try await damaged.submit(more) }
  }

  /// Many at once share commits, and each has its answer.
  @Test func manyAtOnceShareCommits() async throws {
    let commits = Mutex(0)
    let store = try open { _, _ in commits.withLock { $0 += 1 } }
    let positions = try await withThrowingTaskGroup(of: LogPosition.self) { group in
      for number in UInt64(1)...200 {
        let command = try begin(number, command: number)
        group.addTask { try await store.submit(command).position }
      }
      return try await group.reduce(into: Set<LogPosition>()) { $0.insert($1) }
    }
    #expect(positions.count == 200)
    #expect(commits.withLock { $0 } < 200)
    store.close()
  }
}
