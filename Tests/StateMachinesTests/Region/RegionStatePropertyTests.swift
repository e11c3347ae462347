import Catalog
import StateMachines
import TestSupport
import Testing

/// Random commands, of which many are refused, beside a dictionary that has each group and each
/// transaction for itself.
@Suite struct RegionStatePropertyTests {
  private static let ids: ClosedRange<UInt64> = 1...24
  private static let members = ["tokyo-1", "tokyo-2", "tokyo-3"].map(member)

  @Test(arguments: testSeeds(count: 12))
  func clocksOnlyRiseAndDecisionsStand(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var region = TestRegion()
    var twin = Twin()
    var (carriedOut, refused) = (0, 0)
    for round in 0..<300 {
      let place: Comment = "seed \(seed), round \(round)"
      region.wall += UInt64.random(in: 0...400, using: &generator)
      let before = region.state
      let change = Self.change(for: region, using: &generator)
      let events: [RegionEvent]
      do throws(RegionRefusal) {
        events = try region.perform(change)
        carriedOut += events.isEmpty ? 0 : 1
      } catch {
        #expect(region.state.header == before.header, place)
        #expect(!error.description.isEmpty && !error.code.isEmpty, place)
        refused += 1
        continue
      }
      for event in events { twin.apply(event, place) }
      for id in Self.ids { #expect(region.state.ceilings[GroupID(id)] == twin.clocks[id], place) }
      #expect(region.state.transactions.count == twin.transactions.count, place)
      for (id, outcome) in twin.transactions {
        #expect(region.state.transactions[id]?.outcome == outcome, place)
      }
      // Asked again, it is done, but for what begins a new term and the renewal of a lease.
      switch change {
      case .raise, .depart, .arrive, .begin, .decide, .expire:
        let again = try region.state.decide(region.command(change), time: region.nextTime)
        #expect(again == .alreadyDone, place)
      case .lead, .renew, .retire: break
      }
    }
    #expect(carriedOut > 50 && refused > 20, "seed \(seed): \(carriedOut), \(refused)")
    let replayed = try region.replayed()
    #expect(replayed.header == region.state.header, "seed \(seed)")
    #expect(replayed.records == region.state.records, "seed \(seed)")
    let restored = try RegionState(restoring: region.state.header, records: region.state.records)
    #expect(restored.header == region.state.header, "seed \(seed)")
  }

  private static func change(
    for region: TestRegion, using generator: inout SeededGenerator
  ) -> RegionChange {
    let state = region.state
    func someGroups() -> GroupSet {
      GroupSet(
        (0..<Int.random(in: 1...3, using: &generator)).map { _ in
          let first = UInt64.random(in: ids, using: &generator)
          let last = min(ids.upperBound, first + UInt64.random(in: 0...5, using: &generator))
          return GroupRun(GroupID(first), through: GroupID(last))
        })
    }
    func someMember() -> MemberName { members.randomElement(using: &generator) ?? unreachable() }
    func someTime(_ range: ClosedRange<UInt64>) -> HybridTimestamp {
      time(region.wall + UInt64.random(in: range, using: &generator))
    }
    func someTransaction() -> TransactionID {
      transactionID(UInt64.random(in: 1...30, using: &generator))
    }
    let leader = someMember()
    let led = state.ceilings.led(by: leader).map {
      TermGroups(
        term: generator.oneIn(6) ? Term($0.key.rawValue + 1) : $0.key,
        groups: generator.oneIn(3) ? someGroups().intersection($0.value) : $0.value)
    }
    switch Int.random(in: 0..<14, using: &generator) {
    case 0, 1, 2:
      return .lead(
        LeadRequest(
          groups: someGroups(), leader: leader, ceiling: someTime(0...3000),
          lease: Milliseconds(UInt64.random(in: 1...3000, using: &generator)),
          predecessorsEnded: generator.oneIn(3)))
    case 3, 4, 5:
      return .renew(
        RenewalRequest(leader: leader, groups: led, ceiling: someTime(0...3000)))
    case 6:
      return .retire(
        RetirementRequest(
          leader: leader, groups: led, floor: someTime(0...10), hasWaited: generator.oneIn(2)))
    case 7: return .raise(someGroups(), to: someTime(0...5000))
    case 8: return .depart(someGroups(), to: (try? Region("eu-west")) ?? unreachable())
    case 9:
      // What left may come back, with the clock that it left with, or a higher or lower one.
      let group = GroupID(UInt64.random(in: ids, using: &generator))
      let clock = state.ceilings[group]
      let ceiling = max(clock?.ceiling ?? .zero, someTime(0...100))
      return .arrive(
        [
          Arrival(
            groups: GroupSet(GroupRun(group)),
            clock: ClockHandover(
              term: Term((clock?.term.rawValue ?? 0) + UInt64.random(in: 0...1, using: &generator)),
              ceiling: generator.oneIn(4) ? time(1) : ceiling, floor: time(1),
              lease: Milliseconds(UInt64.random(in: 0...3000, using: &generator))))
        ], from: (try? Region("eu-west")) ?? unreachable())
    case 10:
      return .begin(someTransaction(), participants: someGroups(), expiry: someTime(0...3000))
    case 11, 12:
      return .decide(
        someTransaction(), generator.oneIn(2) ? .aborted : .committed(at: someTime(0...500)))
    default: return .expire
    }
  }

  /// Each group and each transaction for itself, and what must hold from one event to the next.
  private struct Twin {
    var clocks: [UInt64: GroupClock] = [:]
    var transactions: [TransactionID: TransactionOutcome?] = [:]

    mutating func apply(_ event: RegionEvent, _ place: Comment) {
      switch event {
      case .groupsLed(let groups, let term):
        each(groups, place) { old in
          if let old {
            #expect(term.term > old.term, place)
            // All that any leader before could have issued is below the floor.
            switch old.standing {
            case .led: #expect(term.floor >= old.ceiling, place)
            case .vacant(let floor, let lease):
              #expect(term.floor >= floor, place)
              #expect(term.wait == .zero || term.wait >= lease, place)
            case .departed: Issue.record("\(place): a group is led that departed")
            }
          }
          return GroupClock(
            ceiling: term.ceiling, term: term.term,
            standing: .led(
              by: term.leader, floor: term.floor, lease: term.lease, wait: term.wait))
        }
      case .ceilingsRaised(let groups, let term, let ceiling):
        each(groups, place) { old in
          guard var clock = old, clock.term == term else {
            Issue.record("\(place): a ceiling of another term is raised")
            return old
          }
          clock.ceiling = max(clock.ceiling, ceiling)
          if case .vacant(let floor, let lease) = clock.standing {
            clock.standing = .vacant(floor: max(floor, ceiling), lease: lease)
          }
          return clock
        }
      case .groupsRetired(let groups, let term, let floor, let lease):
        each(groups, place) { old in
          guard let old, case .led(_, let first, _, _) = old.standing else {
            Issue.record("\(place): somebody retires who leads nothing")
            return old
          }
          return GroupClock(
            ceiling: old.ceiling, term: term,
            standing: .vacant(floor: min(max(first, floor), old.ceiling), lease: lease))
        }
      case .groupsDeparted(let groups, let region, let clock):
        each(groups, place) { old in
          #expect(old?.ceiling == clock.ceiling && old?.term == clock.term, place)
          return GroupClock(
            ceiling: clock.ceiling, term: clock.term, standing: .departed(to: region))
        }
      case .groupsArrived(let groups, _, let clock):
        each(groups, place) { _ in
          GroupClock(
            ceiling: clock.ceiling, term: clock.term,
            standing: .vacant(floor: clock.floor, lease: clock.lease))
        }
      case .transactionBegun(let id, _, _):
        #expect(transactions.updateValue(nil, forKey: id) == nil, place)
      case .transactionDecided(let id, let outcome):
        if case .some(.some(let first)) = transactions[id] {
          Issue.record("\(place): \(id) was \(first) and is \(outcome)")
        }
        transactions[id] = outcome
      }
    }

    private mutating func each(
      _ groups: GroupSet, _ place: Comment, _ change: (GroupClock?) -> GroupClock?
    ) {
      for run in groups.runs {
        for group in run.first.rawValue...run.last.rawValue {
          let old = clocks[group]
          let new = change(old)
          if let old, let new {
            #expect(new.ceiling >= old.ceiling && new.term >= old.term, place)
          }
          clocks[group] = new
        }
      }
    }
  }
}
