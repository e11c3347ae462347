import Catalog
import Replay
import StateMachines

/// The machine that writes a region's stream: a ``RegionCore`` on a simulated disk.
final class RegionHost {
  let index: Int
  let region: Region
  let log: SimulatedRegionLog
  var clock = LocalClock()
  private unowned let world: RegionWorld
  private var core: RegionCore?
  /// What may be shown: the state after the last entry that is durable.
  private var published: RegionState?
  private var queue: [(command: RegionCommand, caller: RegionEndpoint, call: UInt64)] = []
  private var isBusy = false
  /// Counts the processes: what an earlier one began comes to nothing.
  private var life = 0
  private var steady = SteadyWallClock()

  init(index: Int, region: Region, log: SimulatedRegionLog, world: RegionWorld) {
    self.index = index
    self.region = region
    self.log = log
    self.world = world
  }

  var isUp: Bool { core != nil }

  func start() {
    guard core == nil else { return }
    do {
      var options = RegionOptions()
      options.retainedEntryCount = world.faults.retainedEntryCount
      options.maximumBatchCount = 8
      let recovered = try RegionCore(log, options: options)
      if let failure = recovered.failure { throw failure }
      try world.oracle.recovered(recovered.state, index)
      let known = world.oracle.state(of: index).appliedThrough
      let rest = try log.entries(from: known.next, maxCount: .max, maxBytes: .max)
      try world.oracle.appended(rest, to: index, at: world.now)
      try world.oracle.check(recovered.state, index, "region \(index) after a restart")
      core = recovered
      published = recovered.state
    } catch let violation as Violation {
      world.fail(violation)
    } catch {
      world.fail(Violation("region \(index) cannot be opened: \(error)"))
    }
    steady = SteadyWallClock()
    isBusy = false
  }

  func crash() {
    guard core != nil else { return }
    world.statistics.crashes += 1
    life += 1
    (core, published, queue, isBusy) = (nil, nil, [], false)
    log.crash(keeping: world.happens(500))
  }

  func receive(_ message: RegionMessage, from sender: RegionEndpoint) {
    guard let published else { return }
    switch message {
    case .command(let call, let command):
      queue.append((command, sender, call))
      pump()
    case .pull(let call, let position):
      guard position < published.appliedThrough else {
        return send(.entries(call, index, []), to: sender)
      }
      do {
        let count = Int(min(16, published.appliedThrough.rawValue - position.rawValue))
        let entries = try log.entries(from: position.next, maxCount: count, maxBytes: .max)
        send(.entries(call, index, entries), to: sender)
      } catch {
        send(.state(call, index, published), to: sender)
      }
    case .inspect(let call, let id):
      send(.inspected(call, published.transactions[id]), to: sender)
    default: break
    }
  }

  private func send(_ message: RegionMessage, to endpoint: RegionEndpoint) {
    world.send(message, from: .host(index), to: endpoint)
  }

  /// Gives the core what waits, and shows and answers once the disk has synced.
  private func pump() {
    guard !isBusy, var core, !queue.isEmpty else { return }
    let (now, wall) = (world.now, clock.wallMilliseconds(at: world.now))
    let time = MonotonicTime(nanoseconds: clock.monotonic(at: now).wholeNanoseconds)
    let milliseconds = steady.reading(wall, at: time)
    let batch = Array(queue.prefix(8))
    let commit = core.commit(batch.map(\.command), wall: { milliseconds })
    self.core = core
    queue.removeFirst(commit.thenAnswer.count)
    sync { [self] in
      do throws(Violation) {
        try world.oracle.appended(commit.publish, to: index, at: world.now)
        try world.oracle.check(core.state, index, "region \(index)")
        for answer in commit.thenAnswer {
          if case .success(let receipt) = answer {
            try world.oracle.acknowledged(receipt, by: index)
          }
        }
      } catch {
        world.fail(error)
      }
      published = core.state
      world.note(UInt64(index), core.state.appliedThrough.rawValue, core.state.digest)
      for (request, answer) in zip(batch, commit.thenAnswer) {
        send(.outcome(request.call, answer), to: request.caller)
      }
      // Before the next commands, as the store's writer does.
      if self.core?.trim() == true { _ = self.core?.trim() }
      sync { [self] in pump() }
    }
  }

  private func sync(_ then: @escaping () -> Void) {
    isBusy = true
    let isSlow = world.faults.slowDisks && world.happens(30)
    let latency = Duration.microseconds(
      isSlow ? world.random(200_000...4_000_000) : world.random(300...9_000))
    let life = life
    world.after(latency) { [self] in
      guard self.life == life else { return }
      log.settle()
      isBusy = false
      then()
    }
  }
}
