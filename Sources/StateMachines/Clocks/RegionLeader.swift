import Catalog
import Synchronization

/// What a member does to lead groups in one region's stream: takes the lead, renews what is due in one
/// entry, hands over, ends transactions that expired.
///
/// It makes commands and is told what became of them; times and ids are arguments. Each stream has
/// its own, so that one that is stuck holds up the renewals of its own groups and no others.
package final class RegionLeader: Sendable {
  package let region: Region
  package let clocks: GroupClocks

  private struct Work {
    /// What was renewed together is due together, and stays so.
    var wheel: TimerWheel<LeadsTogether>
    /// When leads and renewals that have no answer yet were begun.
    var begun: [CommandID: MonotonicTime] = [:]
    /// The renewal that has no answer yet; the next one waits for it.
    var renewal: CommandID?
    var expiry: CommandID?
    var counts = Counts()
  }

  /// What was done so far.
  package struct Counts: Hashable, Sendable {
    package var renewals = 0
    /// Renewals that had become due while the one before had no answer.
    package var late = 0
    package var failures = 0
  }

  private let work: Mutex<Work>

  package init(_ clocks: GroupClocks, of region: Region, at now: MonotonicTime) {
    self.region = region
    self.clocks = clocks
    let tick = max(clocks.options.renewEvery / 20, .milliseconds(1))
    work = Mutex(Work(wheel: TimerWheel(tick: tick, at: now)))
  }

  /// What was done so far.
  package var counts: Counts { work.withLock { $0.counts } }

  /// Takes the lead of groups. `time` is that of the stream's last entry. `predecessorsEnded` says that
  /// their leaders so far are known to have stopped; see ``LeadRequest/predecessorsEnded``. Nothing below
  /// `floor` is issued.
  package func lead(
    _ groups: GroupSet, id: CommandID, predecessorsEnded: Bool, floor: HybridTimestamp = .zero,
    wallMilliseconds: UInt64, after time: HybridTimestamp, at now: MonotonicTime
  ) -> RegionCommand {
    work.withLock { $0.begun[id] = now }
    return command(
      id, "lead",
      .lead(
        LeadRequest(
          groups: groups, leader: clocks.member,
          ceiling: ceiling(wallMilliseconds, after: max(time, floor)), lease: clocks.options.lease,
          predecessorsEnded: predecessorsEnded, floor: floor)))
  }

  /// Stops the clocks of groups, for ever, and puts that on record, so that the next leader need not
  /// wait; nil when none of them is led. The clocks have stopped on return, whatever becomes of the
  /// command.
  package func retire(
    _ groups: GroupSet, id: CommandID, at now: MonotonicTime
  ) -> RegionCommand? {
    clocks.stop(groups, in: region, at: now).map { command(id, "hand over", .retire($0)) }
  }

  /// What is to be appended now; nothing most of the time. To be called every few dozen milliseconds.
  /// `state` is the stream's last durable state, and `catalogKnown` when the newest catalog was known
  /// here last: past the limit for that nothing is due.
  package func tick(
    _ state: RegionState, wallMilliseconds: UInt64, at now: MonotonicTime,
    catalogKnown: MonotonicTime? = nil, id: () -> CommandID
  ) -> [RegionCommand] {
    guard clocks.options.allowsLease(at: now, catalogKnown: catalogKnown) else { return [] }
    var commands: [RegionCommand] = []
    if let renewal = renewal(state, wallMilliseconds: wallMilliseconds, at: now, id: id) {
      commands.append(renewal)
    }
    let time = state.lastTime.following(wallMilliseconds: wallMilliseconds)
    if !state.transactions.pending.isEmpty, !state.expired(at: time).isEmpty {
      let expiry = work.withLock { work -> CommandID? in
        guard work.expiry == nil else { return nil }
        work.expiry = id()
        return work.expiry
      }
      if let expiry { commands.append(command(expiry, "expiry", .expire)) }
    }
    return commands
  }

  private func renewal(
    _ state: RegionState, wallMilliseconds: UInt64, at now: MonotonicTime, id: () -> CommandID
  ) -> RegionCommand? {
    let renewEvery = clocks.options.renewEvery
    return work.withLock { work -> RegionCommand? in
      var due = work.wheel.takeDue(at: now)
      guard !due.isEmpty else { return nil }
      guard work.renewal == nil else {
        work.counts.late += 1
        for leads in due { work.wheel.insert(leads, due: now + renewEvery / 4) }
        return nil
      }
      // What is due soon goes with it, so that all soon go together.
      due += work.wheel.takeDue(at: now + renewEvery / 2)
      let held = clocks.held(due.count == 1 ? due[0] : LeadsTogether(due.flatMap(\.leads)))
      guard !held.groups.isEmpty else { return nil }
      work.wheel.insert(held, due: now + renewEvery)
      let command = command(
        id(), "renewal",
        .renew(
          RenewalRequest(
            leader: clocks.member, groups: held.groups,
            ceiling: ceiling(wallMilliseconds, after: state.lastTime))))
      work.renewal = command.id
      work.begun[command.id] = now
      return command
    }
  }

  /// Takes note of an entry that is durable, before anybody hears of it; `state` is the one after it.
  package func applied(_ entry: LogEntry, state: RegionState, at now: MonotonicTime) {
    let events: [RegionEvent] = entry.events.compactMap { event in
      if case .region(let event) = event { event } else { nil }
    }
    clocks.apply(events, after: state, at: now)
  }

  /// Takes note of what became of a command that was made here; `events` is what its entry says, and
  /// nil when it has none. To be called after ``applied(_:state:at:)`` of the entry.
  package func answered(_ command: RegionCommand, events: [RegionEvent]?, at now: MonotonicTime) {
    let begun = work.withLock { work -> MonotonicTime? in
      if work.renewal == command.id { work.renewal = nil }
      if work.expiry == command.id { work.expiry = nil }
      if case .renew = command.change { work.counts.renewals += 1 }
      if events == nil { work.counts.failures += 1 }
      return work.begun.removeValue(forKey: command.id)
    }
    guard let events, let begun else { return }
    clocks.renewed(events, in: region, begun: begun)
    guard case .lead = command.change else { return }
    let led: [GroupSet] = events.compactMap { event in
      if case .groupsLed(let groups, _) = event { groups } else { nil }
    }
    let leads = clocks.leads(of: led, in: region)
    // At once: the ceiling of a leader that starts where the one before stopped has little room.
    work.withLock { $0.wheel.insert(LeadsTogether(leads), due: now) }
  }

  /// A window ahead of the wall clock, or of what is later: time on record, or timestamps that were
  /// issued while the wall clock went back.
  private func ceiling(
    _ wallMilliseconds: UInt64, after time: HybridTimestamp
  ) -> HybridTimestamp {
    let latest = max(
      wallMilliseconds, time.milliseconds, clocks.highest(in: region).milliseconds)
    let (sum, overflow) = latest.addingReportingOverflow(
      clocks.options.window.completedMilliseconds)
    return HybridTimestamp(
      milliseconds: min(overflow ? .max : sum, HybridTimestamp.maximumMilliseconds))
  }

  private func command(
    _ id: CommandID, _ reason: String, _ change: RegionChange
  ) -> RegionCommand {
    RegionCommand(id: id, actor: clocks.member.name, reason: reason, change: change)
  }
}
