import Catalog
import StateMachines
import TestSupport
import Testing

/// Members with clocks that drift take groups over from one another while entries reach them late.
/// Whatever happens, the timestamps of a group rise over all leaders, stay below the ceiling that is
/// durable, and nobody issues any once a newer leader did.
@Suite struct LeaderChangeTests {
  /// What is done without, to see that it is needed.
  enum Gap { case none, wait, lease, floor }

  struct Outcome {
    var issued = 0
    var changes = 0
    /// Timestamps that were not after all those before.
    var goneBack = 0
    /// Timestamps that an older leader issued after a newer one had begun.
    var byDeposed = 0
    var aboveCeiling = 0
  }

  private struct Member {
    var leader: RegionLeader
    /// By how much its monotonic clock is faster than time, in thousandths of a thousandth.
    var drift: Int64
    /// Entries that it has not heard of yet, with the time at which it does.
    var inbox: [(at: UInt64, entry: LogEntry, state: RegionState)] = []
    /// Its commands that were appended, to be answered when it has heard of their entry.
    var answers: [CommandID: RegionCommand] = [:]

    func time(_ now: UInt64) -> MonotonicTime {
      let milliseconds = Int64(now) + Int64(now) * drift / 1_000_000
      return MonotonicTime(nanoseconds: UInt64(milliseconds) * 1_000_000 + 5_000_000_000)
    }
  }

  private func run(seed: UInt64, gap: Gap) throws -> Outcome {
    var generator = SeededGenerator(seed: seed)
    var region = TestRegion()
    var outcome = Outcome()
    let options = ClockOptions()
    var members = ["tokyo-1", "tokyo-2", "tokyo-3"].map { name in
      Member(
        leader: RegionLeader(
          GroupClocks(member: member(name), options: options), of: TestRegion.name,
          at: MonotonicTime(nanoseconds: 5_000_000_000)),
        drift: Int64.random(in: -10_000...10_000, using: &generator))
    }
    var (last, lastTerm): ([UInt64: HybridTimestamp], [UInt64: Term]) = ([:], [:])
    var commands: UInt64 = 0
    func id() -> CommandID {
      commands += 1
      return commandID(commands)
    }
    var cutOff: (member: Int, until: UInt64)?
    for now in stride(from: UInt64(0), to: 60_000, by: 20) {
      region.wall = TestStream.wallStart + now
      if let cut = cutOff, cut.until < now { cutOff = nil }
      if cutOff == nil, generator.oneIn(150) {
        cutOff = (
          Int.random(in: 0..<3, using: &generator),
          now + UInt64.random(in: 500...8000, using: &generator)
        )
      }
      for index in members.indices {
        let isCutOff = cutOff?.member == index
        let time = members[index].time(now)
        // Entries come in order, late, and not at all to whom is cut off.
        while !isCutOff, let first = members[index].inbox.first, first.at <= now {
          members[index].inbox.removeFirst()
          members[index].leader.applied(first.entry, state: first.state, at: time)
          if let command = members[index].answers.removeValue(forKey: first.entry.command) {
            members[index].leader.answered(
              command, events: first.entry.events.map(regionEvent), at: time)
          }
        }
        var asked: [RegionCommand] = []
        let wall = region.wall + UInt64.random(in: 0...50, using: &generator)
        let known = members[index].inbox.first?.state ?? region.state
        if generator.oneIn(200) {
          let group = UInt64.random(in: 1...3, using: &generator)
          asked.append(
            members[index].leader.lead(
              groups(group...group), id: id(), predecessorsEnded: gap == .wait,
              wallMilliseconds: wall, after: known.lastTime, at: time))
          outcome.changes += 1
        }
        if generator.oneIn(400) {
          let all = groups(1...3)
          if let command = members[index].leader.retire(all, id: id(), at: time) {
            asked.append(command)
          }
        }
        if !isCutOff {
          asked += members[index].leader.tick(known, wallMilliseconds: wall, at: time, id: id)
        }
        for command in asked {
          // Whoever is cut off does not reach the stream either.
          guard !isCutOff, !generator.oneIn(30),
            case .append(let encoded)? = try? region.state.propose(command, time: region.nextTime)
          else {
            members[index].leader.answered(command, events: nil, at: time)
            continue
          }
          region.entries.append(encoded)
          members[index].answers[command.id] = command
          var entry = encoded.entry
          if gap == .floor { entry.events = entry.events.map(withoutFloor) }
          for other in members.indices {
            let earliest = members[other].inbox.last?.at ?? 0
            let at = max(earliest, now + UInt64.random(in: 0...300, using: &generator))
            members[other].inbox.append((at, entry, region.state))
          }
        }
        for group in UInt64(1)...3 {
          guard let clock = try? members[index].leader.clocks.clock(of: GroupID(group)) else {
            continue
          }
          // As if it did not look at its lease.
          let end = clock.lead.endsAt.nanoseconds
          let early = gap == .lease && end > 0 ? MonotonicTime(nanoseconds: end - 1) : time
          guard
            let batch = try? clock.next(
              Int.random(in: 1...50, using: &generator), wallMilliseconds: wall,
              at: time < clock.lead.startsAt ? time : min(time, early))
          else { continue }
          outcome.issued += 1
          if batch.first <= last[group] ?? .zero { outcome.goneBack += 1 }
          last[group] = max(last[group] ?? .zero, batch.last)
          if clock.lead.term < lastTerm[group] ?? .zero { outcome.byDeposed += 1 }
          lastTerm[group] = max(lastTerm[group] ?? .zero, clock.lead.term)
          let ceiling = region.state.ceilings[GroupID(group)]?.ceiling ?? .zero
          if batch.last >= ceiling { outcome.aboveCeiling += 1 }
        }
      }
    }
    return outcome
  }

  private func regionEvent(_ event: Event) -> RegionEvent {
    if case .region(let event) = event { event } else { unreachable() }
  }

  private func withoutFloor(_ event: Event) -> Event {
    guard case .region(.groupsLed(let groups, var term)) = event else { return event }
    term.floor = .zero
    term.wait = .zero
    return .region(.groupsLed(groups, term))
  }

  @Test(arguments: testSeeds(count: 12))
  func timestampsRiseOverAllLeaders(seed: UInt64) throws {
    let outcome = try run(seed: seed, gap: .none)
    #expect(outcome.goneBack == 0, "seed \(seed)")
    #expect(outcome.byDeposed == 0, "seed \(seed)")
    #expect(outcome.aboveCeiling == 0, "seed \(seed)")
    #expect(outcome.issued > 500 && outcome.changes > 10, "seed \(seed): \(outcome)")
  }

  /// Each guard is needed: without it the very same checks find what they look for.
  @Test func withoutTheWaitADeposedLeaderIssuesMore() throws {
    #expect(try (UInt64(1)...20).contains { try run(seed: $0, gap: .wait).byDeposed > 0 })
  }

  @Test func withoutTheLeaseADeposedLeaderIssuesMore() throws {
    #expect(try (UInt64(1)...20).contains { try run(seed: $0, gap: .lease).byDeposed > 0 })
  }

  @Test func withoutTheFloorTimestampsGoBack() throws {
    #expect(try (UInt64(1)...20).contains { try run(seed: $0, gap: .floor).goneBack > 0 })
  }
}
