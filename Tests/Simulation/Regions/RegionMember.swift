import Catalog
import Replay
import StateMachines

/// A machine that leads groups in the regions' streams: production clocks and leaders, which hear of
/// entries late, or not at all while they are cut off.
final class RegionMember {
  let id: Int
  /// The region that it is in, whose groups it leads.
  let home: Int
  let name: MemberName
  var clock = LocalClock()
  private unowned let world: RegionWorld
  private var process: Process?
  private var life = 0

  /// What a crash takes away.
  private struct Process {
    var clocks: GroupClocks
    var leaders: [RegionLeader]
    /// The streams as far as they were heard of.
    var states: [RegionState]
    var steady = SteadyWallClock()
    /// Commands without an answer, by id.
    var sent: [CommandID: (command: RegionCommand, region: Int)] = [:]
    /// Whether a lead is under way.
    var isLeading = false
  }

  init(id: Int, home: Int, name: MemberName, world: RegionWorld) {
    self.id = id
    self.home = home
    self.name = name
    self.world = world
  }

  private var who: String { "member \(id)" }

  private var time: MonotonicTime {
    MonotonicTime(nanoseconds: clock.monotonic(at: world.now).wholeNanoseconds)
  }

  private func wall(_ process: inout Process) -> UInt64 {
    process.steady.reading(clock.wallMilliseconds(at: world.now), at: time)
  }

  var isUp: Bool { process != nil }

  /// Whether it knows all that is in its region's stream.
  var isUpToDate: Bool {
    process?.states[home].appliedThrough == world.oracle.state(of: home).appliedThrough
  }

  func start() {
    guard process == nil else { return }
    let clocks = GroupClocks(member: name)
    process = Process(
      clocks: clocks,
      leaders: world.regions.map { RegionLeader(clocks, of: $0, at: time) },
      states: world.regions.map { RegionState(catalog: world.catalog, region: $0) })
    life += 1
    repeating(20...20) { [self] in tick() }
    repeating(50...300) { [self] in pull() }
    repeating(500...1_500) { [self] in manage() }
    repeating(5...120) { [self] in issue() }
  }

  func crash() {
    guard process != nil else { return }
    world.statistics.crashes += 1
    process = nil
    life += 1
  }

  /// Does something again and again, as long as the process lives.
  private func repeating(_ pause: ClosedRange<Int>, _ action: @escaping () -> Void) {
    let life = life
    world.after(.milliseconds(world.random(pause))) { [self] in
      guard self.life == life, process != nil else { return }
      action()
      repeating(pause, action)
    }
  }

  // MARK: Leading

  private func tick() {
    guard var process else { return }
    let milliseconds = wall(&process)
    self.process = process
    for (index, leader) in process.leaders.enumerated() {
      let commands = leader.tick(
        process.states[index], wallMilliseconds: milliseconds, at: time,
        id: { CommandID(number: world.nextNumber()) })
      for command in commands { send(command, to: index) }
    }
  }

  /// Leads what nobody leads, takes groups over now and then, and hands them over.
  private func manage() {
    guard var process, !process.isLeading else { return }
    var wanted = GroupSet()
    let known = process.states[home].ceilings
    for group in world.groups {
      guard let clock = known[group] else {
        if world.home(of: group) == home, world.happens(500) { wanted.append(GroupRun(group)) }
        continue
      }
      switch clock.standing {
      case .led(by: name, _, _, _):
        let lead = try? process.clocks.clock(of: group).lead
        // It led before it started again, or missed what became of that.
        if lead == nil || lead.map({ $0.endsAt + .seconds(1) < time }) == true {
          wanted.append(GroupRun(group))
        }
      case .led:
        if world.isInTrouble ? world.happens(40) : isIdle(group) {
          wanted.append(GroupRun(group))
        }
      case .vacant: if world.happens(600) { wanted.append(GroupRun(group)) }
      case .departed: break
      }
    }
    if !wanted.isEmpty {
      process.isLeading = true
      let milliseconds = wall(&process)
      self.process = process
      send(
        process.leaders[home].lead(
          wanted, id: CommandID(number: world.nextNumber()),
          predecessorsEnded: !world.has(.wait), wallMilliseconds: milliseconds,
          after: process.states[home].lastTime, at: time), to: home)
      return
    }
    guard world.isInTrouble, world.happens(60) else { return }
    let groups = GroupSet(groups: world.groups.filter { _ in world.happens(500) })
    let id = CommandID(number: world.nextNumber())
    if let command = process.leaders[home].retire(groups, id: id, at: time) {
      send(command, to: home)
    }
  }

  /// Whether nobody has issued timestamps of a group, or begun to lead it, for a while: whoever leads it
  /// on record may be gone.
  private func isIdle(_ group: GroupID) -> Bool {
    let last = max(
      world.oracle.lastIssued(group) ?? .zero, world.oracle.lastLed(group) ?? .zero)
    return last + .seconds(8) < world.now
  }

  private func send(_ command: RegionCommand, to region: Int) {
    process?.sent[command.id] = (command, region)
    let life = life
    if !world.has(.ceiling), case .renew(let request) = command.change {
      // As if it were durable already.
      let events = request.groups.map {
        RegionEvent.ceilingsRaised($0.groups, term: $0.term, to: request.ceiling)
      }
      if let process { process.clocks.apply(events, after: process.states[region], at: time) }
    }
    world.send(.command(world.nextNumber(), command), from: .member(id), to: .host(region))
    world.after(.milliseconds(1_500)) { [self] in
      if self.life == life { answered(command.id, nil) }
    }
  }

  private func answered(_ command: CommandID, _ events: [RegionEvent]?) {
    guard let sent = process?.sent.removeValue(forKey: command) else { return }
    if case .lead = sent.command.change { process?.isLeading = false }
    process?.leaders[sent.region].answered(sent.command, events: events, at: time)
  }

  // MARK: Following

  private func pull() {
    guard let process else { return }
    for (index, state) in process.states.enumerated() {
      world.send(
        .pull(world.nextNumber(), after: state.appliedThrough), from: .member(id),
        to: .host(index))
    }
  }

  func receive(_ message: RegionMessage, from sender: RegionEndpoint) {
    guard process != nil else { return }
    switch message {
    case .entries(_, let region, let entries): take(entries, region)
    case .state(_, let region, let state): take(state, region)
    case .outcome(_, .failure): break  // Its time runs out.
    case .outcome: break  // Its entry comes.
    case .stamp(let call, let group, let count):
      world.send(.stamped(call, issue(count, of: group)), from: .member(id), to: sender)
    default: break
    }
  }

  private func take(_ entries: [EncodedEntry], _ region: Int) {
    for encoded in entries {
      guard var process, encoded.entry.position == process.states[region].appliedThrough.next
      else { continue }
      do {
        try process.states[region].evolve(encoded)
      } catch {
        return world.fail(Violation("\(who) cannot apply an entry of region \(region): \(error)"))
      }
      self.process = process
      var entry = encoded.entry
      if !world.has(.observe) {
        entry.events.removeAll {
          if case .region(.transactionDecided) = $0 { true } else { false }
        }
      }
      process.leaders[region].applied(entry, state: process.states[region], at: time)
      answered(entry.command, encoded.entry.regionEvents)
    }
  }

  /// Takes over a state: the entries on the way there are gone.
  private func take(_ state: RegionState, _ region: Int) {
    guard let process, state.appliedThrough > process.states[region].appliedThrough else { return }
    world.statistics.installs += 1
    process.clocks.drop(world.regions[region])
    self.process?.states[region] = state
    for (id, sent) in process.sent.sorted(by: {
      $0.key.bytes.lexicographicallyPrecedes($1.key.bytes)
    })
    where sent.region == region { answered(id, nil) }
  }

  // MARK: Timestamps

  /// Clients on the same machine ask.
  private func issue() {
    for group in world.groups where world.happens(400) {
      _ = issue(world.happens(50) ? world.random(1...65_536) : world.random(1...50), of: group)
    }
  }

  private func issue(_ count: Int, of group: GroupID) -> HybridTimestampBatch? {
    guard var process, let clock = try? process.clocks.clock(of: group) else { return nil }
    let milliseconds = wall(&process)
    self.process = process
    var time = time
    if !world.has(.lease), time >= clock.lead.startsAt, clock.lead.endsAt > .zero {
      // As if it did not look at its lease.
      time = min(time, MonotonicTime(nanoseconds: clock.lead.endsAt.nanoseconds - 1))
    }
    guard let batch = try? clock.next(count, wallMilliseconds: milliseconds, at: time),
      let region = world.regions.firstIndex(of: clock.lead.region)
    else { return nil }
    do throws(Violation) {
      try world.oracle.issued(
        batch, of: group, term: clock.lead.term, region: region,
        knowing: process.states[region].appliedThrough, at: world.now, who)
    } catch {
      world.fail(error)
    }
    return batch
  }
}
