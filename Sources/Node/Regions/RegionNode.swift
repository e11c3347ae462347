import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Logging
import NIOPosix
import Replay
import StateMachines
import Synchronization

/// What a node leads of the regions' streams: a store and a leader for each, one set of clocks, one
/// task that renews them all.
package final class RegionNode: Sendable {
  /// How often what is due is looked for.
  private static let tick: Duration = .milliseconds(20)

  /// A region's stream that this node writes.
  package struct Led: Sendable {
    package let store: RegionStore
    package let leader: RegionLeader
  }

  package let member: MemberName
  package let clocks: GroupClocks
  /// By region.
  package let regions: [Region: Led]
  private let clock: NodeClock
  private let wall: SteadyWall
  private let logger: Logger

  /// The wall clock as all of a node's regions see it.
  private final class SteadyWall: Sendable {
    private let steady: Mutex<SteadyWallClock>
    private let clock: NodeClock

    init(_ clock: NodeClock, maximumSkew: Duration) {
      self.clock = clock
      steady = Mutex(SteadyWallClock(maximumSkew: maximumSkew))
    }

    var milliseconds: UInt64 {
      let (wall, time) = (clock.wallMilliseconds(), clock.monotonic)
      return steady.withLock { $0.reading(wall, at: time) }
    }

    var state: SteadyWallClock { steady.withLock { $0 } }
  }

  /// Opens the streams of regions within the folder of a catalog's log, or makes them. Blocks.
  ///
  /// - Throws: ``NodeError`` when the options cannot work, or `StoreError`.
  package init(
    _ names: [Region], member: MemberName, options: ClockOptions, store: RegionOptions,
    folder: String, catalog: CatalogID, clock: NodeClock, logger: Logger
  ) throws {
    if let problem = options.problem {
      throw NodeError(.invalidArgument, reason: "clock_options", problem)
    }
    let clocks = GroupClocks(member: member, options: options)
    let wall = SteadyWall(clock, maximumSkew: options.maximumSkew)
    var regions: [Region: Led] = [:]
    for region in names where regions[region] == nil {
      let leader = RegionLeader(clocks, of: region, at: clock.monotonic)
      let opened = try RegionStore.open(
        folder: folder, region: region, catalog: catalog, options: store,
        wallMilliseconds: { wall.milliseconds }
      ) { entries, state in
        let now = clock.monotonic
        for encoded in entries { leader.applied(encoded.entry, state: state, at: now) }
      }
      regions[region] = Led(store: opened, leader: leader)
    }
    self.member = member
    self.clocks = clocks
    self.regions = regions
    self.clock = clock
    self.wall = wall
    self.logger = logger
  }

  // MARK: - Running

  /// Takes up what is at home in the regions, and renews it until the task is cancelled.
  package func run() async throws {
    for (region, led) in regions {
      do {
        try await takeUp(led)
      } catch {
        logger.error(
          "could not take up the groups of region \(region)", metadata: ["error": "\(error)"])
      }
    }
    while true {
      try await Task.sleep(for: Self.tick)
      let (now, milliseconds) = (clock.monotonic, wall.milliseconds)
      for led in regions.values {
        let commands = led.leader.tick(
          led.store.current, wallMilliseconds: milliseconds, at: now, id: CommandID.random)
        for command in commands { submit(command, to: led) { _ in } }
      }
    }
  }

  /// Leads what nobody else leads. What this member led before it started again it led from this
  /// folder, which has one writer: that one has ended, and nobody waits for it.
  private func takeUp(_ led: Led) async throws {
    var (own, vacant) = (GroupSet(), GroupSet())
    for entry in led.store.current.ceilings.entries {
      switch entry.clock.standing {
      case .led(member, _, _, _): own.append(entry.groups)
      case .vacant: vacant.append(entry.groups)
      case .led, .departed: break
      }
    }
    if !own.isEmpty { _ = try await lead(own, in: led, predecessorsEnded: true) }
    if !vacant.isEmpty { _ = try await lead(vacant, in: led, predecessorsEnded: false) }
  }

  /// Stops all clocks and puts that on record, so that whoever is next need not wait; then closes the
  /// streams.
  package func close() async {
    for (region, led) in regions {
      let all = GroupSet(GroupRun(GroupID(0), through: GroupID(.max)))
      if let command = led.leader.retire(all, id: .random(), at: clock.monotonic) {
        do {
          _ = try await submit(command, to: led)
        } catch {
          logger.warning(
            "could not hand over the groups of region \(region): their next leader waits",
            metadata: ["error": "\(error)"])
        }
      }
      try? await NIOThreadPool.singleton.runIfActive { led.store.close() }
    }
  }

  /// `then` is called when the outcome is durable, by the writer's thread.
  private func submit(
    _ command: RegionCommand, to led: Led,
    then: @escaping @Sendable (Result<RegionReceipt, RegionFailure>) -> Void
  ) {
    let (clock, logger) = (clock, logger)
    led.store.submit(command) { result in
      let events = (try? result.get())?.events
      led.leader.answered(command, events: events, at: clock.monotonic)
      if case .failure(let error) = result {
        logger.debug(
          "\(command.reason) refused",
          metadata: ["region": "\(led.store.region)", "error": "\(error)"])
      }
      then(result)
    }
  }

  private func submit(
    _ command: RegionCommand, to led: Led
  ) async throws(NodeError) -> RegionReceipt {
    let result = await withCheckedContinuation { continuation in
      submit(command, to: led) { continuation.resume(returning: $0) }
    }
    do throws(RegionFailure) {
      return try result.get()
    } catch {
      throw NodeError(error)
    }
  }

  // MARK: - Clocks

  /// The next timestamps of a group.
  package func next(
    _ count: Int, of group: GroupID
  ) throws(NodeError) -> HybridTimestampBatch {
    do throws(GroupClockError) {
      return try clocks.next(
        count, of: group, wallMilliseconds: wall.milliseconds, at: clock.monotonic)
    } catch {
      throw refusal(error, group)
    }
  }

  /// Leads groups in a region.
  package func lead(
    _ groups: GroupSet, in region: Region?
  ) async throws(NodeError) -> (region: Region, receipt: RegionReceipt) {
    let led = try led(region)
    return (led.store.region, try await lead(groups, in: led, predecessorsEnded: false))
  }

  private func lead(
    _ groups: GroupSet, in led: Led, predecessorsEnded: Bool
  ) async throws(NodeError) -> RegionReceipt {
    try await submit(
      led.leader.lead(
        groups, id: .random(), predecessorsEnded: predecessorsEnded,
        wallMilliseconds: wall.milliseconds, after: led.store.current.lastTime,
        at: clock.monotonic), to: led)
  }

  /// Stops leading groups in a region.
  package func retire(
    _ groups: GroupSet, in region: Region?
  ) async throws(NodeError) -> (region: Region, receipt: RegionReceipt) {
    let led = try led(region)
    guard let command = led.leader.retire(groups, id: .random(), at: clock.monotonic) else {
      throw NodeError(
        .failedPrecondition, reason: "not_group_leader",
        "this node leads none of the groups \(groups) in region \(led.store.region)")
    }
    return (led.store.region, try await submit(command, to: led))
  }

  /// The region's stream that this node leads; with nil the only one.
  package func led(_ region: Region?) throws(NodeError) -> Led {
    if let region, let led = regions[region] { return led }
    if region == nil, regions.count == 1, let led = regions.values.first { return led }
    let names = regions.keys.sorted().map(\.name).joined(separator: ", ")
    throw NodeError(
      .failedPrecondition, reason: "region_not_led",
      region.map { "this node does not lead the stream of region \($0)" }
        ?? "this node leads \(regions.isEmpty ? "no region's stream" : "several regions' streams")",
      remedy: names.isEmpty
        ? "ask a node that was started with --lead-region" : "name one of \(names)")
  }

  private func refusal(_ error: GroupClockError, _ group: GroupID) -> NodeError {
    switch error {
    case .notLed:
      for led in regions.values {
        guard let clock = led.store.current.ceilings[group],
          case .led(let leader, _, _, _) = clock.standing
        else { continue }
        return NodeError(.failedPrecondition, reason: "not_group_leader", "\(error)") {
          $0.leader = leader.name
        }
      }
      return NodeError(.failedPrecondition, reason: "not_group_leader", "\(error)")
    case .waiting: return NodeError(.unavailable, reason: "leader_waiting", "\(error)")
    case .leaseExpired: return NodeError(.unavailable, reason: "lease_expired", "\(error)")
    case .clock(_, .ceilingExpired):
      return NodeError(.unavailable, reason: "ceiling_expired", "\(error)")
    case .clock: return NodeError(.failedPrecondition, reason: "clock", "\(error)")
    }
  }

  // MARK: - Transactions

  /// Begins a transaction that may take so long.
  package func begin(
    _ id: TransactionID, participants: GroupSet, timeout: Duration, command: CommandID,
    in region: Region?
  ) async throws(NodeError) -> Transaction {
    let led = try led(region)
    // One that is sent again is the same as it was: its expiry is on record already.
    let now = led.store.current.lastTime.following(wallMilliseconds: wall.milliseconds)
    let known = led.store.current.transactions[id]
    let expiry =
      known?.expiry
      ?? HybridTimestamp(
        milliseconds: min(
          now.milliseconds + min(timeout.wholeMilliseconds, Milliseconds.maximum.rawValue),
          HybridTimestamp.maximumMilliseconds))
    return try await transaction(
      id, .begin(id, participants: participants, expiry: expiry), command, led)
  }

  /// Ends a transaction.
  package func decide(
    _ id: TransactionID, _ outcome: TransactionOutcome, command: CommandID, in region: Region?
  ) async throws(NodeError) -> Transaction {
    try await transaction(id, .decide(id, outcome), command, try led(region))
  }

  /// What is on record of a transaction.
  package func transaction(
    _ id: TransactionID, in region: Region?
  ) throws(NodeError) -> Transaction {
    let led = try led(region)
    guard let transaction = led.store.current.transactions[id] else {
      throw NodeError(RegionFailure.refused(.unknownTransaction(id)))
    }
    return transaction
  }

  private func transaction(
    _ id: TransactionID, _ change: RegionChange, _ command: CommandID, _ led: Led
  ) async throws(NodeError) -> Transaction {
    _ = try await submit(
      RegionCommand(id: command, actor: member.name, reason: "transaction", change: change),
      to: led)
    return try transaction(id, in: led.store.region)
  }

  // MARK: - Status

  /// How far ahead the wall clock is of what is made of it.
  package var wallClock: SteadyWallClock { wall.state }

  /// Now, as leases take it.
  var monotonicNow: MonotonicTime { clock.monotonic }
}

extension NodeClock {
  /// The clock that only goes forward, as clocks and leases take it.
  package var monotonic: MonotonicTime {
    MonotonicTime(nanoseconds: now().sinceStart.wholeNanoseconds)
  }
}

extension NodeError {
  /// What a caller is told of a region's command that was not carried out.
  package init(_ failure: RegionFailure) {
    switch failure {
    case .refused(let refusal):
      self.init(refusal.status, reason: refusal.code, refusal.description) { detail in
        switch refusal {
        case .deposed(_, let clock):
          if case .led(let leader, _, _, _) = clock.standing { detail.leader = leader.name }
        case .transactionDecided(let transaction):
          detail.outcome = transaction.outcome?.description ?? ""
        default: break
        }
      }
    case .commandIDReused(_, let position):
      self.init(.alreadyExists, reason: "command_id_reused", failure.description) {
        $0.position = position.rawValue
      }
    case .overloaded: self.init(.resourceExhausted, reason: "overloaded", failure.description)
    case .storage: self.init(.unavailable, reason: "storage", failure.description)
    case .closed: self.init(.unavailable, reason: "closed", failure.description)
    }
  }
}

extension RegionRefusal {
  /// The status that a caller gets: what kind of thing to do about it.
  fileprivate var status: RPCError.Code {
    switch self {
    case .noGroups, .actorTooLong, .reasonTooLong, .leaseOutOfRange, .notEncodable,
      .floorAboveCeiling, .tooFarAhead:
      .invalidArgument
    case .unknownGroups, .unknownTransaction: .notFound
    case .transactionDecided: .aborted
    case .transactionDiffers: .alreadyExists
    case .clockWrong, .departed, .deposed, .arrivesBehind, .termsExhausted, .transactionExpired:
      .failedPrecondition
    }
  }
}
