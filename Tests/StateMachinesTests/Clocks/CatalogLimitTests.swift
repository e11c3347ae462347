import Catalog
import StateMachines
import TestSupport
import Testing

/// A leader of a region's stream is cut off from the catalog, and does not hear that its region was
/// lost; a mirror that does hear is promoted once the limit that the leader claimed has passed. Clocks
/// drift, and the leader's disk is slow at times.
@Suite struct CatalogLimitTests {
  /// What is done without, to see that it is needed.
  enum Gap { case none, limit, wait }

  struct Outcome {
    var issued = 0
    /// What the old leader issued once the mirror was promoted.
    var byDeposed = 0
    /// Timestamps that were not after all those before.
    var goneBack = 0
    /// How long the old leader went on after it heard of the catalog last.
    var wentOn = Duration.zero
    var byPromoted = 0
  }

  private struct Clock {
    /// By how much it is faster than time, in thousandths of a thousandth.
    var drift: Int64

    func time(_ now: UInt64) -> MonotonicTime {
      let milliseconds = Int64(now) + Int64(now) * drift / 1_000_000
      return MonotonicTime(nanoseconds: UInt64(milliseconds) * 1_000_000 + 5_000_000_000)
    }
  }

  private static func options(_ gap: Gap) -> ClockOptions {
    var options = ClockOptions()
    options.catalogLimit = gap == .limit ? nil : .seconds(12)
    return options
  }

  private func events(of entry: LogEntry) -> [RegionEvent] {
    entry.events.compactMap { event in
      if case .region(let event) = event { event } else { nil }
    }
  }

  private func run(seed: UInt64, gap: Gap) throws -> Outcome {
    var generator = SeededGenerator(seed: seed)
    var outcome = Outcome()
    let options = Self.options(gap)
    let claimed = Milliseconds(12_000)
    var (old, new) = (TestRegion(), TestRegion())
    var states = [old.state]
    let clocks = (0..<2).map { _ in
      Clock(drift: Int64.random(in: -10_000...10_000, using: &generator))
    }
    let leaders = ["tokyo-1", "osaka-1"].enumerated().map { index, name in
      RegionLeader(
        GroupClocks(member: member(name), options: options), of: TestRegion.name,
        at: clocks[index].time(0))
    }
    var commands: UInt64 = 0
    func id() -> CommandID {
      commands += 1
      return commandID(commands)
    }
    // What the old leader's disk has taken, and when it says so.
    var pending: [(at: UInt64, command: RegionCommand, entry: LogEntry, state: RegionState)] = []
    var (heard, cutAt): (MonotonicTime?, UInt64) = (
      nil, .random(in: 3_000...8_000, using: &generator)
    )
    // The region is lost at some time, and the mirror hears of it a while later.
    let lostAt = cutAt + .random(in: 0...3_000, using: &generator)
    let seenAt = lostAt + .random(in: 0...2_000, using: &generator)
    let promoteAt = clocks[1].time(seenAt) + (gap == .wait ? .zero : options.wait(for: claimed))
    var promotedAt: UInt64?
    var last: [UInt64: HybridTimestamp] = [:]
    var isSlow = false
    var lastDurable: UInt64 = 0
    var lastIssuedByOld: UInt64 = 0
    var lastHeard: UInt64 = 0

    for now in stride(from: UInt64(0), to: 45_000, by: 20) {
      let wall = TestStream.wallStart + now
      old.wall = wall
      new.wall = wall
      let time = clocks[0].time(now)
      // The proofs that the old leader gets of the catalog say what was so when it asked.
      if now < cutAt, generator.oneIn(20) {
        let asked = clocks[0].time(now - min(now, .random(in: 0...300, using: &generator)))
        heard = max(heard ?? asked, asked)
        lastHeard = now
      }
      while let first = pending.first, first.at <= now {
        pending.removeFirst()
        leaders[0].applied(first.entry, state: first.state, at: time)
        leaders[0].answered(
          first.command,
          events: events(of: first.entry), at: time)
      }
      if generator.oneIn(100) { isSlow.toggle() }
      var asked: [RegionCommand] = []
      if now == 1_000 {
        asked.append(
          leaders[0].lead(
            groups(1...2), id: id(), predecessorsEnded: false, wallMilliseconds: wall,
            after: old.state.lastTime, at: time))
      }
      asked += leaders[0].tick(
        states[states.count - 1], wallMilliseconds: wall, at: time, catalogKnown: heard, id: id)
      for command in asked {
        guard case .append(let encoded)? = try? old.state.propose(command, time: old.nextTime)
        else {
          leaders[0].answered(command, events: nil, at: time)
          continue
        }
        old.entries.append(encoded)
        states.append(old.state)
        let delay: ClosedRange<UInt64> = isSlow ? 500...2_500 : 0...40
        lastDurable = max(lastDurable, now + .random(in: delay, using: &generator))
        pending.append((lastDurable, command, encoded.entry, old.state))
      }

      if promotedAt == nil, now >= seenAt, clocks[1].time(now) >= promoteAt {
        promotedAt = now
        // The last entries never came to the mirror.
        new.state = states[max(1, states.count - .random(in: 1...4, using: &generator))]
        let ahead = (options.window + options.maximumSkew).completedMilliseconds
        let command = leaders[1].lead(
          groups(1...2), id: id(), predecessorsEnded: false,
          floor: HybridTimestamp(milliseconds: wall + ahead), wallMilliseconds: wall,
          after: new.state.lastTime, at: clocks[1].time(now))
        guard case .append(let encoded) = try new.state.propose(command, time: new.nextTime) else {
          Issue.record("seed \(seed): the mirror does not lead")
          return outcome
        }
        leaders[1].applied(encoded.entry, state: new.state, at: clocks[1].time(now))
        leaders[1].answered(
          command,
          events: events(of: encoded.entry), at: clocks[1].time(now))
      } else if promotedAt != nil {
        let known = clocks[1].time(now)
        for command in leaders[1].tick(
          new.state, wallMilliseconds: wall, at: known, catalogKnown: known, id: id)
        {
          guard case .append(let encoded)? = try? new.state.propose(command, time: new.nextTime)
          else {
            leaders[1].answered(command, events: nil, at: known)
            continue
          }
          leaders[1].applied(encoded.entry, state: new.state, at: known)
          leaders[1].answered(
            command,
            events: events(of: encoded.entry), at: known)
        }
      }

      for (index, leader) in leaders.enumerated() {
        for group in UInt64(1)...2 {
          guard
            let batch = try? leader.clocks.next(
              Int.random(in: 1...50, using: &generator), of: GroupID(group), wallMilliseconds: wall,
              at: clocks[index].time(now))
          else { continue }
          outcome.issued += 1
          if batch.first <= last[group] ?? .zero { outcome.goneBack += 1 }
          last[group] = max(last[group] ?? .zero, batch.last)
          if index == 0 {
            lastIssuedByOld = now
            if promotedAt != nil { outcome.byDeposed += 1 }
          } else {
            outcome.byPromoted += 1
          }
        }
      }
    }
    outcome.wentOn = .milliseconds(Int64(lastIssuedByOld - min(lastIssuedByOld, lastHeard)))
    return outcome
  }

  @Test(arguments: testSeeds(count: 24))
  func aLeaderThatIsCutOffStopsBeforeAMirrorLeads(seed: UInt64) throws {
    let outcome = try run(seed: seed, gap: .none)
    #expect(outcome.byDeposed == 0 && outcome.goneBack == 0, "seed \(seed): \(outcome)")
    #expect(outcome.issued > 500 && outcome.byPromoted > 100, "seed \(seed): \(outcome)")
    // Not at once: a network that is cut for a while stops nothing.
    #expect(outcome.wentOn > .seconds(7), "seed \(seed): \(outcome)")
    #expect(outcome.wentOn <= .milliseconds(12_200), "seed \(seed): \(outcome)")
  }

  /// Each guard is needed: without it the very same checks find what they look for.
  @Test func withoutTheLimitTwoLead() throws {
    #expect(try (UInt64(1)...5).contains { try run(seed: $0, gap: .limit).byDeposed > 0 })
    #expect(try (UInt64(1)...5).contains { try run(seed: $0, gap: .limit).goneBack > 0 })
  }

  @Test func withoutTheWaitTwoLead() throws {
    #expect(try (UInt64(1)...5).contains { try run(seed: $0, gap: .wait).byDeposed > 0 })
  }

  @Test func aLimitIsLongEnoughToRenewIn() {
    var options = ClockOptions()
    options.catalogLimit = .seconds(6)
    #expect(options.problem == nil)
    options.catalogLimit = .seconds(5)
    #expect(options.problem?.contains("twice the window") == true)
    options.catalogLimit = .seconds(100_000)
    #expect(options.problem?.contains("a day") == true)
  }

  @Test func whatIsWaitedFor() {
    let options = ClockOptions()
    // A tenth of a second of drift for each window that is begun.
    #expect(options.wait(for: Milliseconds(60_000)) == .seconds(62))
    #expect(options.wait(for: Milliseconds(60_001)) == .milliseconds(62_101))
  }
}
