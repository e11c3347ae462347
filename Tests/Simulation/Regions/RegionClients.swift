import Catalog
import Replay
import StateMachines

/// Somebody who sends commands to the regions' streams, each again and again under its id until there
/// is an answer.
class RegionClient {
  let id: Int
  let region: Int
  unowned let world: RegionWorld
  /// Whether nothing that it began is undone.
  var isIdle = true
  private var command: (command: RegionCommand, region: Int)?
  private var then: ((Result<RegionReceipt, RegionFailure>) -> Void)?

  init(id: Int, region: Int, world: RegionWorld) {
    self.id = id
    self.region = region
    self.world = world
  }

  func start() {}

  func receive(_ message: RegionMessage) {
    guard case .outcome(let call, let result) = message, calls.contains(call), let then else {
      return
    }
    // It may have happened: sent again.
    if case .failure(.storage) = result { return }
    (command, self.then, calls) = (nil, nil, [])
    then(result)
  }

  private var calls: Set<UInt64> = []

  /// Sends a change to a region's stream until there is an answer.
  func ask(
    _ change: RegionChange, of region: Int,
    then: @escaping (Result<RegionReceipt, RegionFailure>) -> Void
  ) {
    let command = RegionCommand(
      id: CommandID(number: world.nextNumber()), actor: "client \(id)", reason: "a change",
      change: change)
    self.command = (command, region)
    self.then = then
    send()
  }

  private func send() {
    guard let (command, region) = command else { return }
    let call = world.nextNumber()
    calls.insert(call)
    world.send(.command(call, command), from: .client(id), to: .host(region))
    world.after(.milliseconds(world.random(400...2_500))) { [self] in
      if self.command?.command.id == command.id { send() }
    }
  }
}

/// Begins transactions and decides them, at times against a rival.
final class Coordinator: RegionClient {
  private var stamp: (call: UInt64, then: (HybridTimestampBatch?) -> Void)?

  override func start() {
    world.after(.milliseconds(world.random(0...800))) { [self] in next() }
  }

  override func receive(_ message: RegionMessage) {
    if case .stamped(let call, let batch) = message, call == stamp?.call, let then = stamp?.then {
      stamp = nil
      return then(batch)
    }
    super.receive(message)
  }

  private func next() {
    guard world.isInTrouble else { return }
    let state = world.oracle.state(of: region)
    let groups = GroupSet(groups: world.groups.filter { _ in world.happens(400) })
    guard !groups.isEmpty, let id = TransactionID(number: world.nextNumber()) else {
      return after()
    }
    isIdle = false
    // Another one may be asked to end the same transaction.
    world.contested[region] = id
    let expiry = HybridTimestamp(
      milliseconds: state.lastTime.milliseconds + UInt64(world.random(1_000...20_000)))
    ask(.begin(id, participants: groups, expiry: expiry), of: region) { [self] _ in
      commit(id, groups)
    }
  }

  private func commit(_ id: TransactionID, _ groups: GroupSet) {
    guard let group = groups.runs.first?.first, world.happens(800) else {
      return decide(id, .aborted)
    }
    let call = world.nextNumber()
    stamp = (
      call,
      { [self] batch in
        // Or a time of its own, which may be ahead of what the groups' clocks say.
        let time = world.oracle.state(of: region).lastTime.milliseconds
        let ahead = HybridTimestamp(milliseconds: time + UInt64(world.random(0...2_000)))
        decide(id, .committed(at: batch?.last ?? ahead))
      }
    )
    world.send(
      .stamp(call, group, count: 1), from: .client(self.id),
      to: .member(world.random(0...world.members.count - 1)))
    world.after(.seconds(1)) { [self] in
      guard let then = stamp?.then, stamp?.call == call else { return }
      stamp = nil
      then(nil)
    }
  }

  private func decide(_ id: TransactionID, _ outcome: TransactionOutcome) {
    ask(.decide(id, outcome), of: region) { [self] result in
      do throws(Violation) {
        switch result {
        case .success: try world.oracle.decided(id, outcome)
        case .failure(.refused(.transactionDecided(let known))):
          if let first = known.outcome { try world.oracle.decided(id, first) }
        case .failure(.refused(.transactionExpired)) where outcome != .aborted:
          return decide(id, .aborted)
        case .failure: break
        }
      } catch {
        world.fail(error)
      }
      after()
    }
  }

  private func after() {
    isIdle = true
    world.after(.milliseconds(world.random(50...1_200))) { [self] in next() }
  }
}

/// Aborts or commits transactions of others, and looks at what became of them.
final class Rival: RegionClient {
  override func start() {
    world.after(.milliseconds(world.random(0...2_000))) { [self] in next() }
  }

  override func receive(_ message: RegionMessage) {
    if case .inspected(_, let transaction) = message {
      guard let transaction, let outcome = transaction.outcome else { return }
      do throws(Violation) {
        try world.oracle.decided(transaction.id, outcome)
      } catch {
        world.fail(error)
      }
      return
    }
    super.receive(message)
  }

  private func next() {
    guard world.isInTrouble else { return }
    world.after(.milliseconds(world.random(300...2_000))) { [self] in next() }
    guard isIdle, let id = world.contested[region] else { return }
    world.send(
      .inspect(world.nextNumber(), id), from: .client(self.id), to: .host(region))
    guard world.happens(300) else { return }
    isIdle = false
    ask(.decide(id, .aborted), of: region) { [self] result in
      isIdle = true
      guard case .success = result else { return }
      do throws(Violation) {
        try world.oracle.decided(id, .aborted)
      } catch {
        world.fail(error)
      }
    }
  }
}

/// Moves groups from one region to another.
final class Mover: RegionClient {
  override func start() {
    world.after(.milliseconds(world.random(3_000...9_000))) { [self] in next() }
  }

  private func next() {
    guard world.isInTrouble else { return }
    world.after(.milliseconds(world.random(2_000...9_000))) { [self] in next() }
    guard isIdle, let group = world.groups.randomElement(using: &world.generator),
      let from = world.place(of: group)
    else { return }
    isIdle = false
    let to = (from + world.random(1...world.regions.count - 1)) % world.regions.count
    ask(.depart(GroupSet(GroupRun(group)), to: world.regions[to]), of: from) { [self] result in
      guard case .success(let receipt) = result else { return isIdle = true }
      if case .groupsDeparted(let groups, _, let clock)? = receipt.events.first {
        return arrive(Arrival(groups: groups, clock: clock), from: from, to: to)
      }
      // Sent again after its entry was trimmed: what the clock was then is on record, but for the
      // floor and the lease. The ceiling and the longest lease are safe.
      guard let clock = world.oracle.state(of: from).ceilings[group],
        clock.standing == .departed(to: world.regions[to])
      else { return isIdle = true }
      let handover = ClockHandover(
        term: clock.term, ceiling: clock.ceiling, floor: clock.ceiling,
        lease: ClockOptions().lease)
      arrive(Arrival(groups: GroupSet(GroupRun(group)), clock: handover), from: from, to: to)
    }
  }

  private func arrive(_ arrival: Arrival, from: Int, to: Int) {
    ask(.arrive([arrival], from: world.regions[from]), of: to) { [self] _ in isIdle = true }
  }
}

extension TransactionID {
  init?(number: UInt64) { self.init(bytes: CommandID(number: number).bytes) }
}
