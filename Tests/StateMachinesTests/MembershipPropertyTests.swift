import Catalog
import StateMachines
import TestSupport
import Testing

/// Random changes of members and regions against a dumb twin: dictionaries, and rules in the words of
/// the design.
@Suite struct MembershipPropertyTests {
  @Test(arguments: testSeeds(count: 24))
  func changesDoWhatTheTwinDoes(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var catalog = try TestCatalog(starts: ["b", "c", "d", "e", "f"])
    try catalog.perform(.membership(.enable(.members)))
    for id in 2...6 {
      try catalog.perform(.move([RouteID(UInt64(id))], to: GroupID(UInt64(id % 4 + 1))))
    }
    var twin = MembershipTwin()
    try enableClaims(in: &catalog, &twin)
    var learner = CatalogState(catalog: TestCatalog.id)
    for entry in catalog.entries { try learner.evolve(entry) }
    var refused: Set<String> = []

    for step in 0..<200 {
      let place: Comment = "seed \(seed), step \(step)"
      let change = MembershipChange.random(twin, using: &generator)
      let before = catalog.state.header
      let count = catalog.entries.count
      let expected = twin.perform(change, routes: catalog.routes)
      do throws(Refusal) {
        let events = try catalog.perform(.membership(change))
        #expect(
          expected == (events.isEmpty ? "done" : "changed"), "seed \(seed), step \(step): \(change)"
        )
      } catch {
        #expect(expected == error.code, "seed \(seed), step \(step): \(change)")
        #expect(catalog.state.header == before, place)
        refused.insert(error.code)
      }
      try twin.check(catalog.state.membership, place)
      #expect(catalog.routes.map { MembershipTwin.Place($0) } == twin.places, place)
      if catalog.entries.count > count, let entry = catalog.entries.last {
        #expect(entry.entry.neededCapabilities.contains(.members), place)
        let decoded = try EncodedEntry(decoding: entry.bytes)
        #expect(decoded.entry == entry.entry, place)
        try learner.evolve(decoded)
      }
      #expect(learner.header == catalog.state.header, place)
      guard expected == "done" || catalog.state.header == learner.header else { return }
    }
    #expect(refused.count >= 3, "seed \(seed): \(refused)")

    // A replay without versions in between, and a state that was taken over, are the same.
    var replayed = CatalogState(catalog: TestCatalog.id)
    try replayed.evolve(all: catalog.entries)
    #expect(replayed.header == catalog.state.header, "seed \(seed)")
    let bytes = catalog.state.membership.bytes
    let restored = try CatalogState(
      restoring: catalog.state.header, routes: catalog.routes, membership: bytes)
    #expect(restored.membership.bytes == bytes, "seed \(seed)")
    #expect(throws: EvolveError.self, "seed \(seed)") {
      try CatalogState(restoring: catalog.state.header, routes: catalog.routes)
    }
    var sum = StateDigest.zero
    try MembershipRecord.decode(bytes) { sum += $0.digest }
    #expect(sum == catalog.state.membership.digest, "seed \(seed)")
  }

  /// Lets claims be made, which takes a member that reads them.
  private func enableClaims(in catalog: inout TestCatalog, _ twin: inout MembershipTwin) throws {
    let join = MembershipChange.join(
      try MemberName("node-0"), address: "h:1", region: try Region("asia"), capabilities: .known)
    try catalog.perform(.membership(join))
    #expect(twin.perform(join, routes: catalog.routes) == "changed")
    try catalog.perform(.membership(.enable(.regionClaims)))
  }

  /// Bytes that are no membership are refused, and what is accepted has one form.
  @Test(arguments: testSeeds(count: 300))
  func hostileRecordsDoNotTrap(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var catalog = try TestCatalog()
    var twin = MembershipTwin()
    try catalog.perform(.membership(.enable(.members)))
    try enableClaims(in: &catalog, &twin)
    for _ in 0..<25 {
      let change = MembershipChange.random(twin, using: &generator)
      _ = twin.perform(change, routes: catalog.routes)
      _ = try? catalog.perform(.membership(change))
    }
    var bytes = catalog.state.membership.bytes
    generator.damage(&bytes, times: 1...3)
    guard let membership = try? Membership(decoding: bytes, in: IndexStore()) else { return }
    #expect(membership.bytes == bytes, "seed \(seed)")
  }

  /// A hundred thousand homes share all but the one that changes.
  @Test func oneHomeAmongManyCostsLittle() throws {
    var catalog = try TestCatalog()
    try catalog.perform(.membership(.enable(.members)))
    let groups = (1...100_000).map { GroupID(UInt64($0)) }
    try catalog.perform(
      .membership(.setHomes(groups, try Region("asia"), evenIfViolating: false)))
    let before = catalog.state
    let store = catalog.state.routes.store
    let nodes = store.nodeCount
    try catalog.perform(
      .membership(.setHomes([GroupID(77)], try Region("europe"), evenIfViolating: false)))
    #expect(store.nodeCount - nodes < 40)
    #expect(before.membership.home(of: GroupID(77))?.name == "asia")
    #expect(catalog.state.membership.home(of: GroupID(77))?.name == "europe")
    #expect(catalog.state.membership.groups(in: try Region("asia")).count == 99_999)
    #expect(catalog.state.version == before.version)
  }
}
