import Catalog
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// Members, regions and homes survive whatever routes survive.
@Suite struct MembershipPersistenceTests {
  let folder = TemporaryFolder()
  let clock = TestClock()

  private func options(_ role: StoreRole = .leader) -> StoreOptions {
    var options = StoreOptions(role: role)
    options.historyCapacity = 4
    options.checkpoints = .onRequest
    options.log.initialMapSize = 64 << 10
    options.commitsToCheckpoints = false  // Entries are counted here.
    return options
  }

  private func open(
    _ name: String = "log", _ role: StoreRole = .leader, reading: CapabilitySet = .known
  ) throws -> CatalogStore {
    var options = options(role)
    options.log.reading = reading
    return try CatalogStore.open(
      folder: folder.appending(name), options: options, wallMilliseconds: clock.read)
  }

  private func member(_ number: UInt64, _ region: String) throws -> RouteChange {
    .membership(
      .join(
        try MemberName("\(region)-\(number)"), address: "\(region):\(number)",
        region: try Region(region), capabilities: [.members, .regionStreams]))
  }

  /// A store with members, homes, and a region that is being recovered; a checkpoint every ten
  /// entries.
  private func filled(_ name: String = "log") async throws -> CatalogStore {
    let store = try CatalogStore.create(
      folder: folder.appending(name), catalog: testCatalog, options: options(),
      wallMilliseconds: clock.read)
    var number: UInt64 = 0
    func perform(_ change: RouteChange) async throws {
      number += 1
      _ = try await store.submit(command(number, change))
      if number % 10 == 0 { _ = try await store.checkpointNow() }
    }
    let asia = try Region("asia")
    try await perform(oneRoute)
    for cut in UInt64(1)...6 { try await perform(split(padded(cut))) }
    try await perform(.membership(.enable(.members)))
    for region in ["asia", "europe", "america"] { try await perform(member(number, region)) }
    try await perform(
      .membership(.setHomes([GroupID(1)], asia, evenIfViolating: false)))
    try await perform(
      .membership(
        .setHomes([GroupID(2), GroupID(3)], try Region("europe"), evenIfViolating: false))
    )
    try await perform(.membership(.declareLost(asia)))
    try await perform(.membership(.sweep(asia, epoch: 1, limit: 4)))
    try await perform(.membership(.sweep(asia, epoch: 1, limit: 4)))
    let plan = try store.current.recoveryPlan(for: asia)
    try await perform(.membership(.promote(plan.step(0, named: plan.name))))
    for cut in UInt64(10)...25 { try await perform(split(padded(cut))) }
    return store
  }

  private func expectSame(
    _ state: CatalogState, _ other: CatalogState, _ location: SourceLocation = #_sourceLocation
  ) {
    #expect(state.header == other.header, sourceLocation: location)
    #expect(state.membership.bytes == other.membership.bytes, sourceLocation: location)
    #expect(!state.membership.isEmpty, sourceLocation: location)
  }

  @Test func aStartFromACheckpointHasThem() async throws {
    var store = try await filled()
    let state = store.current
    let checkpoints = try #require(store.checkpoints)
    let roots = try checkpoints.roots()
    #expect(roots.map { $0.header.membership != .zero } == [true, true, true])
    #expect(Set(roots.map(\.header.membership)).count == 2)
    for root in roots { try checkpoints.prove(root) }
    store.close()
    store = try open()
    #expect(store.checkpointWarnings.isEmpty)
    expectSame(store.current, state)
    store.close()
    let log = try EventLog.open(folder: folder.appending("log"), mode: .readOnly)
    #expect(try Verifier(log).verify().headHash == state.lastHash)
    expectSame(try Replayer(log).replay(), state)
  }

  /// At every position, from checkpoints, from entries alone, and in a log that begins later.
  @Test func theMembersOfAnyPositionAreTold() async throws {
    let store = try await filled()
    let end = store.current.appliedThrough
    let log = try EventLog.open(folder: folder.appending("log"), mode: .readOnly)
    let base = try Replayer(log).replay(through: LogPosition(17))
    let later = try EventLog.create(folder: folder.appending("later"), catalog: testCatalog)
    try later.install(base: base)
    try later.append(
      try log.entries(from: base.appliedThrough.next, maxCount: 100, maxBytes: 1 << 20))
    let readers = [AuditReader(log), AuditReader(log, checkpoints: { nil }), AuditReader(later)]
    #expect(try readers[0].membership(at: .zero).isEmpty)
    for number in 1...end.rawValue {
      let position = LogPosition(number)
      let expected = try Replayer(log).replay(through: position).membership.bytes
      for (index, reader) in readers.enumerated() {
        if index == 2, position < base.appliedThrough {
          #expect(throws: AuditError.self) { try reader.membership(at: position) }
        } else {
          #expect(try reader.membership(at: position) == expected, "\(position), \(index)")
        }
      }
    }
    #expect(throws: AuditError.self) { try readers[0].membership(at: end.next) }
    later.releaseForWriting()
    store.close()
  }

  /// A membership is stored once for all roots that have it, and goes with the last of them.
  @Test func whatNoRootHasAnyMoreGoes() async throws {
    let store = try await filled()
    let checkpoints = try #require(store.checkpoints)
    func count() throws -> Int {
      try checkpoints.environment.read { transaction throws(StoreError) in
        var count = 0
        try transaction.scan(checkpoints.tables.meta, from: "members/") { (key, _) in
          count += String(decoding: key, as: UTF8.self).hasPrefix("members/") ? 1 : 0
          return true
        }
        return count
      }
    }
    let roots = try checkpoints.roots()
    #expect(try count() == 2)
    try checkpoints.dropRoot(roots[1].version)
    #expect(try count() == 2)
    try checkpoints.dropRoot(roots[0].version)
    #expect(try count() == 1)
    try checkpoints.prove(roots[2])
    store.close()
  }

  @Test func aDamagedMembershipIsNamedAndTheLogTakesItsPlace() async throws {
    var store = try await filled()
    let state = store.current
    let checkpoints = try #require(store.checkpoints)
    var damagedOnes: Set<StateDigest> = []
    for root in try checkpoints.roots() where !damagedOnes.contains(root.header.membership) {
      damagedOnes.insert(root.header.membership)
      var bytes = try checkpoints.members(of: root)
      bytes[bytes.count / 2] ^= 1
      let damaged = bytes
      try checkpoints.environment.write { transaction throws(StoreError) in
        try checkpoints.put(
          members: damaged, digest: root.header.membership, in: transaction)
      }
      #expect(throws: StoreError.self) { try checkpoints.prove(root) }
      #expect(throws: StoreError.self) { try checkpoints.load(root) }
    }
    store.close()
    store = try open()
    #expect(store.checkpointWarnings.count == 3)
    expectSame(store.current, state)
    store.close()
  }

  @Test func aTrimmedLogBeginsWithThem() async throws {
    var store = try await filled()
    let state = store.current
    var policy = RetentionPolicy.everything
    policy.log = .zero
    let key = SigningKey(bytes: [UInt8](repeating: 7, count: 32))
    _ = try store.trim(
      policy, nowMilliseconds: state.lastTime.milliseconds + 1, compacting: .always
    ) { () throws(StoreError) in
      guard let key else { throw .unusable(reason: "no key") }
      return key
    }
    #expect(try store.firstPosition() > LogPosition(10))
    store.close()
    store = try open()
    #expect(store.condition == nil)
    #expect(store.current.membership.bytes == state.membership.bytes)
    store.close()
    let log = try EventLog.open(folder: folder.appending("log"), mode: .readOnly)
    #expect(try log.base()?.membership.isEmpty == false)
    #expect(try Verifier(log).verify().version == state.version)
  }

  @Test func aMirrorTakesThemOver() async throws {
    let source = try await filled()
    let state = source.current
    let (checkpoints, root) = try source.checkpointToSend(of: .zero)
    let path = folder.appending("mirror")
    let mirror = try CatalogStore.create(
      folder: path, catalog: testCatalog, options: options(.learner), wallMilliseconds: clock.read)
    let intake = try CheckpointIntake(folder: path, catalog: testCatalog)
    try intake.begin(root.bytes)
    let nodes = try checkpoints.nodes(
      of: root, after: 0, without: checkpoints.hiddenNodes(from: root), maxBytes: .max)
    try intake.add(nodes)
    #expect(throws: StoreError.self) { try intake.finish() }
    try intake.begin(root.bytes)
    try intake.add(members: try checkpoints.members(of: root))
    if try intake.progress()?.lastNode == 0 { try intake.add(nodes) }
    let taken = try intake.finish()
    expectSame(taken, try checkpoints.load(root))
    try mirror.installState(taken)
    try mirror.appendReplicated(
      try source.entries(from: taken.appliedThrough.next, maxCount: .max))
    expectSame(mirror.current, state)
    mirror.close()
    expectSame(try open("mirror", .learner).current, state)
    let base = try EventLog.open(folder: path, mode: .readOnly, provesEnd: false).base()
    expectSame(try #require(base), taken)
    source.close()
  }

  @Test func exportsCarryThem() async throws {
    let store = try await filled()
    let state = store.current
    store.close()
    let log = try EventLog.open(folder: folder.appending("log"), mode: .readOnly)
    let file = folder.appending("export")
    for index in 0..<2 {
      var exporter = Exporter(log, checkpoints: nil)
      exporter.carriesCommands = false
      if index == 0 {
        try exporter.exportCatalog(at: state.version, to: file)
      } else {
        try exporter.exportLog(to: file)
      }
      let target = folder.appending("restored-\(index)")
      let manifest = try Restorer().restore(file, into: target)
      #expect(manifest.state.membership == state.membership.digest)
      #expect(ExportManifest(manifest.text) == manifest)
      #expect(manifest.text.hasPrefix("{\"cadastre_export\":2"))
      let restored = try EventLog.open(folder: target, mode: .readOnly)
      #expect(try Replayer(restored).replay().membership.bytes == state.membership.bytes)
    }
  }

  @Test func aRepairBringsThemBack() async throws {
    let store = try await filled()
    let state = store.current
    store.close()
    let source = try EventLog.open(folder: folder.appending("log"), mode: .readOnly)
    let file = folder.appending("export")
    try Exporter(source, checkpoints: nil).exportCatalog(at: state.version, to: file)
    for name in ["one", "two"] { try Restorer().restore(file, into: folder.appending(name)) }
    let log = try EventLog.open(folder: folder.appending("one"), mode: .readWrite)
    try log.environment.write { transaction throws(StoreError) in
      try [1, 2, 3].withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: "base-members", in: log.tables.meta)
      }
    }
    #expect(throws: StoreError.self) { try log.base() }
    let peer = try FolderPeer(folder: folder.appending("two"))
    let base = try #require(
      try EventLog.open(folder: folder.appending("two"), mode: .readOnly).base())
    let (routes, members) = try peer.contents(of: base.header)
    expectSame(
      try CatalogState(restoring: base.header, routes: routes, membership: members), base)
  }

  /// A reader without the capability serves the version before, and says which one it lacks.
  @Test func anOlderReaderStopsBeforeWhatItCannotRead() async throws {
    var store = try await filled()
    let entries = try store.entries(from: LogPosition(1), maxCount: .max)
    store.close()
    store = try open(reading: [])
    #expect(store.current.appliedThrough == LogPosition(7))
    #expect(store.current.version == CatalogVersion(7))
    guard case .needsNewerReader(let position, let why)? = store.condition else {
      Issue.record("\(String(describing: store.condition))")
      return
    }
    #expect(position == LogPosition(8))
    #expect(why.contains("cap_members_v1"))
    await #expect(throws: CommandFailure.self) {
      try await store.submit(command(999, split("zzz")))
    }
    store.close()
    #expect(throws: LogCodingError.self) {
      try EncodedEntry(decoding: entries[7].bytes, reading: [])
    }
    // One whose name only the log knows.
    let newer = StoreError(
      lacking: CapabilitySet(rawValue: 1 << 9), at: LogPosition(3), names: [9: "cap_wings_v1"])
    #expect(newer.description.contains("cap_wings_v1"))
  }

  /// The bytes of a membership are what they always were.
  @Test func goldenBytes() throws {
    var state = CatalogState(catalog: testCatalog)
    var number: UInt64 = 0
    func perform(_ change: RouteChange) throws {
      number += 1
      _ = try state.propose(command(number, change), time: state.lastTime.next)
    }
    let (asia, europe) = (try Region("asia"), try Region("europe"))
    try perform(oneRoute)
    try perform(.membership(.enable(.members)))
    for region in ["asia", "europe", "america"] { try perform(member(number, region)) }
    try perform(.membership(.leave(try MemberName("america-4"))))
    try perform(.membership(.setHomes([GroupID(1)], asia, evenIfViolating: false)))
    try perform(.membership(.setHomes([GroupID(300)], europe, evenIfViolating: false)))
    try perform(.membership(.setLeaderPreference(asia, [europe, asia])))
    try perform(.membership(.setPromotionPolicy(try MemberName("all"), .all)))
    try perform(
      .membership(.setPromotionPolicy(try MemberName("some"), try KeySpan(key("a"), key("b")))))
    try perform(
      .membership(.report(by: try MemberName("europe-3"), of: asia, isSilent: true)))
    try perform(.membership(.sweep(asia, epoch: 1, limit: 4)))
    let plan = try state.recoveryPlan(for: asia)
    try perform(.membership(.promote(plan.step(0, named: plan.name))))
    let members = state.membership.bytes
    let file = fixturesFolder.appending(path: "checkpoints").appending(path: "members.hex")
    let hex = try golden(HexFile.text(of: [members]), at: file)
    #expect(HexFile.entries(in: hex) == [members])
    let kinds = [16, 17, 18, 19, 20].filter { kind in
      var found = false
      try? MembershipRecord.decode(members) { found = found || $0.bytes.first == UInt8(kind) }
      return found
    }
    #expect(kinds.count == 5)
  }
}
