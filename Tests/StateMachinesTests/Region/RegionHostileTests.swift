import Catalog
import StateMachines
import TestSupport
import Testing

/// Entries whose events may say anything: a learner that is sent them never traps, and what can be
/// folded takes no clock back and changes no decision.
@Suite struct RegionHostileTests {
  @Test(arguments: testSeeds(count: 8))
  func noEventsTrapOrTakeAClockBack(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var state = RegionState(catalog: TestRegion.catalog, region: TestRegion.name)
    let corpus = try GoldenEntries.all().map(\.entry).filter { $0.stream == .region }
    var (folded, refused) = (0, 0)
    for round in 0..<400 {
      let place: Comment = "seed \(seed), round \(round)"
      // Extreme terms and ceilings leave nothing that could follow.
      if round.isMultiple(of: 40) {
        state = RegionState(catalog: TestRegion.catalog, region: TestRegion.name)
      }
      var entry = LogEntry(
        stream: .region, position: state.appliedThrough.next, previous: state.lastHash,
        time: state.lastTime.next, actor: "", reason: "", command: commandID(0), version: .zero,
        events: [.region(Self.event(using: &generator))], digest: .zero)
      if generator.oneIn(10) {
        entry.events += corpus.randomElement(using: &generator)?.events ?? []
      }
      if generator.oneIn(20) { entry.stream = .catalog }
      let before = state
      do throws(EvolveError) {
        try state.evolve(entry, hash: before.lastHash)
        #expect(entry.digest == state.digest, place)
      } catch .diverged(_, _, let digest) {
        entry.digest = digest
        try state.evolve(entry, hash: before.lastHash)
        folded += 1
      } catch {
        #expect(state.header == before.header, place)
        #expect(state.records == before.records, place)
        refused += 1
        continue
      }
      for entry in before.ceilings.entries {
        state.ceilings.forEach(in: GroupSet(entry.groups)) { _, clock in
          #expect(clock?.ceiling ?? .zero >= entry.clock.ceiling, place)
          #expect(clock?.term ?? .zero >= entry.clock.term, place)
        }
      }
      before.transactions.forEach { old in
        let new = state.transactions[old.id]
        #expect(old.outcome == nil || new == old, place)
      }
    }
    #expect(folded > 20 && refused > 20, "seed \(seed): \(folded) folded, \(refused) refused")
  }

  private static func event(using generator: inout SeededGenerator) -> RegionEvent {
    func number() -> UInt64 {
      let edges: [UInt64] = [0, 1, 2, 3, .max - 1, .max]
      return generator.oneIn(12)
        ? edges.randomElement(using: &generator) ?? 0 : UInt64.random(in: 1...6, using: &generator)
    }
    func someGroups() -> GroupSet {
      let (a, b) = (number(), number())
      return GroupSet(GroupRun(GroupID(min(a, b)), through: GroupID(max(a, b))))
    }
    func handover() -> ClockHandover {
      ClockHandover(
        term: Term(number()), ceiling: HybridTimestamp(number()), floor: HybridTimestamp(number()),
        lease: Milliseconds(number()))
    }
    let region = (try? Region("eu-west")) ?? unreachable()
    switch Int.random(in: 0..<8, using: &generator) {
    case 0, 1:
      return .groupsLed(
        someGroups(),
        LeaderTerm(
          leader: member("a"), term: Term(number()), floor: HybridTimestamp(number()),
          ceiling: HybridTimestamp(number()), lease: Milliseconds(number()),
          wait: Milliseconds(number())))
    case 2:
      return .ceilingsRaised(someGroups(), term: Term(number()), to: HybridTimestamp(number()))
    case 3:
      return .groupsRetired(
        someGroups(), term: Term(number()), floor: HybridTimestamp(number()),
        lease: Milliseconds(number()))
    case 4: return .groupsDeparted(someGroups(), to: region, handover())
    case 5: return .groupsArrived(someGroups(), from: region, handover())
    case 6:
      return .transactionBegun(
        transactionID(number()), participants: someGroups(), expiry: HybridTimestamp(number()))
    default:
      return .transactionDecided(
        transactionID(number()),
        generator.oneIn(2) ? .aborted : .committed(at: HybridTimestamp(number())))
    }
  }

  /// Records from a disk or a peer: refused, or the only form of what they say.
  @Test(arguments: testSeeds(count: 2))
  func mutatedRecordsAreRefusedOrCanonical(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let region = try GoldenRegion.log().state
    let bytes = region.records.flatMap(\.bytes)
    for round in 0..<1000 {
      var mutated = bytes
      for _ in 0...Int.random(in: 0...2, using: &generator) {
        let offset = Int.random(in: 0..<mutated.count, using: &generator)
        switch Int.random(in: 0..<3, using: &generator) {
        case 0: mutated[offset] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        case 1: mutated[offset] = UInt8.random(in: 0...255, using: &generator)
        default: mutated.remove(at: offset)
        }
      }
      var records: [RegionRecord] = []
      do throws(LogCodingError) {
        try mutated.withUnsafeBufferPointer { bytes throws(LogCodingError) in
          try RegionRecord.decode(UnsafeRawBufferPointer(bytes)) { records.append($0) }
        }
      } catch {
        #expect(error.offset <= mutated.count, "seed \(seed), round \(round)")
        continue
      }
      #expect(records.flatMap(\.bytes) == mutated, "seed \(seed), round \(round)")
      if mutated != bytes {
        #expect(throws: EvolveError.self, "seed \(seed), round \(round)") {
          try RegionState(restoring: region.header, records: records)
        }
      }
    }
  }
}
