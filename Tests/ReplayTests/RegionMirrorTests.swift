import Catalog
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Replay

@Suite struct RegionMirrorTests {
  private let folder = TemporaryFolder()
  private let clock = TestClock()

  private func open(
    _ name: String, mirrors: Bool = false, retained: UInt64 = 100_000
  ) throws -> RegionStore {
    var options = RegionOptions()
    options.retainedEntryCount = retained
    return try RegionStore.open(
      folder: folder.appending(name), region: try Region("tokyo"), catalog: testCatalog,
      options: options, mirrors: mirrors, wallMilliseconds: clock.read)
  }

  private func begin(_ number: UInt64) throws -> RegionCommand {
    RegionCommand(
      id: commandID(number), actor: "coordinator", reason: "begin",
      change: .begin(
        try #require(TransactionID(bytes: commandID(number).bytes)),
        participants: GroupSet(GroupRun(GroupID(number))),
        expiry: HybridTimestamp(milliseconds: 1_785_312_000_000 + 10_000_000)))
  }

  /// Lets `mirror` follow `leader` as over a connection, until it has all.
  private func follow(_ mirror: RegionStore, _ leader: RegionStore) async throws -> FollowFailure? {
    var learner = LearnerSession(catalog: testCatalog)
    func view() -> LeaderView {
      LeaderView(era: leader.era, staleness: .zero, state: leader.current)
    }
    let state = mirror.current
    var (session, first) = try leader.beginFollowing(
      FollowStart(
        after: state.appliedThrough, hash: state.appliedThrough > .zero ? state.lastHash : nil),
      view: view(), messageByteCount: 256)
    var messages = [first]
    while !messages.isEmpty {
      for message in messages {
        let step = learner.take(message)
        do { try await mirror.replicate(step.store) } catch { return .store(error) }
        if let failure = step.thenFail { return failure }
      }
      messages = try session.next(view(), probe: 0)
    }
    return nil
  }

  @Test func aMirrorTakesOverWhatFollowsAndNothingElse() async throws {
    let (leader, mirror) = (try open("leader"), try open("mirror", mirrors: true))
    for number in UInt64(1)...40 { _ = try await leader.submit(try begin(number)) }
    #expect(try await follow(mirror, leader) == nil)
    #expect(mirror.current.header == leader.current.header)
    let command = try begin(99)
    await #expect(throws: RegionFailure.self) { try await mirror.submit(command) }
    // What does not follow is named, and nothing of it is taken over.
    let forged = try await leader.submit(try begin(41)).position
    let log = try RegionEventLog.open(
      folder: RegionEventLog.folder(of: try Region("tokyo"), in: folder.appending("leader")),
      region: try Region("tokyo"), mode: .readOnly)
    var entry = try #require(try log.entry(at: forged)).entry
    entry.digest = .zero
    let wrong = try EncodedEntry(entry)
    await #expect(throws: StoreError.self) { try await mirror.replicate([wrong]) }
    #expect(mirror.current.appliedThrough == LogPosition(40))
    #expect(try await follow(mirror, leader) == nil)
    let header = leader.current.header
    mirror.close()
    leader.close()
    let again = try open("mirror")
    #expect(again.isMirror && again.current.header == header)
    again.close()
  }

  @Test func aMirrorBehindTheLogTakesOverAState() async throws {
    let (leader, mirror) = (try open("leader", retained: 8), try open("mirror", mirrors: true))
    for number in UInt64(1)...3 { _ = try await leader.submit(try begin(number)) }
    #expect(try await follow(mirror, leader) == nil)
    for number in UInt64(4)...60 { _ = try await leader.submit(try begin(number)) }
    let failure = try await follow(mirror, leader)
    #expect(failure?.remedy == .installState)
    try await mirror.install(
      leader.current, commands: try leader.commandWindow(through: leader.current.appliedThrough))
    #expect(mirror.era == 1)
    for number in UInt64(61)...70 { _ = try await leader.submit(try begin(number)) }
    #expect(try await follow(mirror, leader) == nil)
    #expect(mirror.current.header == leader.current.header)
    mirror.close()
    let again = try open("mirror")
    #expect(again.condition == nil && again.current.header == leader.current.header)
    again.close()
    leader.close()
  }

  /// What was acknowledged is known to a mirror that took over a whole state, once it leads, and again
  /// to a mirror of that one.
  @Test func commandsComeWithAStateThatIsTakenOver() async throws {
    let (leader, mirror) = (try open("leader", retained: 8), try open("mirror", mirrors: true))
    for number in UInt64(1)...60 { _ = try await leader.submit(try begin(number)) }
    let second = try open("second", mirrors: true, retained: 8)
    let window = try leader.commandWindow(through: leader.current.appliedThrough)
    #expect(window.records.count == 60)
    try await mirror.install(leader.current, commands: window)
    #expect(try mirror.commandWindow(through: mirror.current.appliedThrough) == window)
    // Of a state that is older, nothing that came later.
    #expect(try leader.commandWindow(through: LogPosition(50)).records.count == 50)
    leader.close()
    try await mirror.lead(on: RegionLeadTerms(epoch: 1, floor: .zero))
    func check(_ store: RegionStore) async throws {
      for number in UInt64(1)...60 {
        let receipt = try await store.submit(try begin(number))
        #expect(receipt.outcome == .repeated && receipt.position == LogPosition(number))
      }
      // Under the same name another change, which the fingerprint tells.
      var other = try begin(99)
      other.id = commandID(5)
      let command = other
      await #expect(
        throws: RegionFailure.commandIDReused(commandID(5), position: LogPosition(5))
      ) { try await store.submit(command) }
      #expect(store.current.appliedThrough == LogPosition(60))
    }
    try await check(mirror)
    mirror.close()
    let again = try open("mirror")
    try await check(again)
    for number in UInt64(61)...70 { _ = try await again.submit(try begin(number)) }
    try await second.install(
      again.current, commands: try again.commandWindow(through: again.current.appliedThrough))
    try await second.lead(on: RegionLeadTerms(epoch: 2, floor: .zero))
    for number in UInt64(1)...70 {
      #expect(try await second.submit(try begin(number)).outcome == .repeated)
    }
    second.close()
    again.close()
  }

  /// Commands that are not those that were sent are not taken for them.
  @Test func commandsThatWereDamagedOnTheirWayAreRefused() async throws {
    let leader = try open("leader")
    for number in UInt64(1)...9 { _ = try await leader.submit(try begin(number)) }
    let header = leader.current.header
    let window = try leader.commandWindow(through: header.position)
    leader.close()
    #expect(try CommandWindow.received(window.bytes, hash: window.hash, with: header) == window)
    var bytes = window.bytes
    bytes[10] ^= 1
    #expect(throws: StoreError.self) {
      try CommandWindow.received(bytes, hash: window.hash, with: header)
    }
    var before = header
    before.position = LogPosition(8)
    #expect(throws: StoreError.self) {
      try CommandWindow.received(window.bytes, hash: window.hash, with: before)
    }
  }

  @Test func anotherHistoryIsSeen() async throws {
    let (leader, mirror) = (try open("leader"), try open("mirror", mirrors: true))
    for number in UInt64(1)...3 { _ = try await leader.submit(try begin(number)) }
    #expect(try await follow(mirror, leader) == nil)
    let other = try open("other")
    for number in UInt64(11)...15 { _ = try await other.submit(try begin(number)) }
    guard case .reset(let reset)? = try await follow(mirror, other) else {
      Issue.record("it was taken for the same stream")
      return
    }
    #expect(reset.reason == .diverged)
    other.close()
    mirror.close()
    leader.close()
  }

  @Test func aMirrorThatIsPromotedStaysSo() async throws {
    let mirror = try open("mirror", mirrors: true)
    let terms = RegionLeadTerms(epoch: 3, floor: HybridTimestamp(milliseconds: 77))
    try await mirror.lead(on: terms)
    _ = try await mirror.submit(try begin(1))
    await #expect(throws: StoreError.self) { try await mirror.replicate([]) }
    mirror.close()
    let again = try open("mirror", mirrors: true)
    #expect(!again.isMirror && again.terms == terms)
    _ = try await again.submit(try begin(2))
    again.close()
  }
}
