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

/// What a node leads of the regions' streams, and mirrors of them: one set of clocks, one task that
/// renews them all, and a task for each mirror.
package final class RegionNode: Sendable {
  /// How often what is due is looked for.
  private static let tick: Duration = .milliseconds(20)
  /// How long it takes to try again what could not be done.
  private static let pause: Duration = .milliseconds(200)

  /// A region's stream that this node writes.
  package struct Led: Sendable {
    package let stream: RegionStream
    package let leader: RegionLeader
    package var store: RegionStore { stream.store }
  }

  package let member: MemberName
  package let clocks: GroupClocks
  /// By region.
  package let streams: [Region: RegionStream]
  package let directory: RegionDirectory
  let core: NodeCore
  /// Where commands about the catalog go.
  let sink: any CommandSink
  private let following: FollowOptions
  /// Where the streams that are led are kept besides; nil: in the folder alone.
  private let placement: RegionPlacement?
  private let wall: SteadyWall
  var clock: NodeClock { core.clock }
  var logger: Logger { core.logger }

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

  /// Opens the streams of regions within the folder of the catalog's log, or makes them. Blocks.
  ///
  /// - Throws: ``NodeError`` when the options cannot work, or `StoreError`.
  package init(
    _ configuration: NodeConfiguration, member: MemberName, core: NodeCore,
    commands sink: any CommandSink
  ) throws {
    let options = configuration.clocks
    if let problem = options.problem {
      throw NodeError(.invalidArgument, reason: "clock_options", problem)
    }
    let clocks = GroupClocks(member: member, options: options)
    let wall = SteadyWall(core.clock, maximumSkew: options.maximumSkew)
    var streams: [Region: RegionStream] = [:]
    var named: [Region: NodeAddress] = [:]
    for mirrored in configuration.mirroredRegions {
      if let address = mirrored.leader { named[mirrored.region] = address }
    }
    for region in configuration.ledRegions + configuration.mirroredRegions.map(\.region)
    where streams[region] == nil {
      let leads = configuration.ledRegions.contains(region)
      let stream = try RegionStream(
        region, mirrors: !leads, isShared: leads && configuration.regionLog != nil,
        folder: core.store.folder, catalog: core.store.catalog,
        options: configuration.regionStore, clocks: clocks, clock: core.clock,
        wallMilliseconds: { wall.milliseconds })
      if leads, stream.isMirror, !stream.isShared {
        stream.store.close()
        for stream in streams.values { stream.store.close() }
        throw NodeError(
          .failedPrecondition, reason: "region_is_mirror",
          "\(RegionEventLog.folder(of: region, in: core.store.folder)) mirrors the stream of region "
            + "\(region), which another node leads",
          remedy:
            "start with --mirror-region \(region), and promote it on purpose when its leader is "
            + "gone: cadastre region promote")
      }
      streams[region] = stream
    }
    self.member = member
    self.clocks = clocks
    self.streams = streams
    self.wall = wall
    self.core = core
    self.sink = sink
    following = configuration.following
    placement = configuration.regionLog
    directory = RegionDirectory(
      core, named: named, own: member, connection: configuration.connection)
  }

  // MARK: - Running

  /// Takes up what is at home in the regions that are led, and renews it; keeps the mirrors in step:
  /// until the task is cancelled. Others reach the node at `address`.
  package func run(at address: NodeAddress?) async throws {
    let own = ClusterMember(name: member, address: address.map { "\($0)" } ?? "")
    try await withThrowingTaskGroup(of: Void.self) { group in
      for stream in streams.values {
        group.addTask { for await _ in stream.store.changes() { stream.changes.publish() } }
        if stream.isShared, let placement {
          let shared = SharedRegion(
            stream, of: self, on: placement, as: own, following: following)
          group.addTask { await shared.run() }
          continue
        }
        guard stream.isMirror else { continue }
        let mirror = RegionMirror(
          stream: stream, core: core, directory: directory, options: following)
        group.addTask { await mirror.run() }
      }
      group.addTask { [self] in
        await core.changes.untilClosed()
        for stream in streams.values { stream.changes.close() }
      }
      group.addTask { [self] in try await renew() }
      group.addTask { [self] in try await takeUp() }
      group.addTask { [self] in try await followHomes() }
      try await group.waitForAll()
    }
  }

  private func renew() async throws {
    var withheld: Set<Region> = []
    while true {
      try await Task.sleep(for: Self.tick)
      let membership = core.store.current.membership
      let (now, milliseconds) = (clock.monotonic, wall.milliseconds)
      let known = catalogKnown(at: now)
      for stream in streams.values {
        stream.noteEpoch(membership.region(stream.region)?.epoch ?? 0, at: now)
        guard let leader = stream.leader else {
          // An entry that was on its way may have begun a lead meanwhile.
          if case .fenced = stream.role { clocks.drop(stream.region) }
          if stream.isShared { standBy(stream, membership) }
          continue
        }
        if let terms = stream.store.terms,
          let epoch = laterEpoch(of: stream, than: terms, membership)
        {
          fence(stream, epoch: epoch)
          continue
        }
        note(withheld: !clocks.options.allowsLease(at: now, catalogKnown: known), stream, &withheld)
        let commands = leader.tick(
          stream.store.current, wallMilliseconds: milliseconds, at: now, catalogKnown: known,
          id: CommandID.random)
        for command in commands {
          submit(command, to: Led(stream: stream, leader: leader)) { _ in }
        }
      }
    }
  }

  /// Stops all clocks of a stream whose region was lost: another node may lead it.
  func fence(_ stream: RegionStream, epoch: UInt64) {
    guard stream.fence(epoch: epoch) else { return }
    clocks.drop(stream.region)
    let remedy =
      stream.isShared
      ? fenced(stream.region, epoch: epoch).detail?.remedy : Self.fencedRemedy(stream.region)
    logger.error(
      "somebody else may lead the stream of region \(stream.region) since: this node leads it no more",
      metadata: ["epoch": "\(epoch)", "remedy": "\(remedy ?? "")"])
  }

  private static func fencedRemedy(_ region: Region) -> String {
    "if a mirror was promoted, remove the folder regions/\(region) here and start with "
      + "--mirror-region \(region); if none was, cadastre region promote \(region) here"
  }

  /// Makes sure that groups may be led and transactions ended in a stream from here: that the catalog
  /// allows such streams, and that nobody else leads this one. On record on return.
  func prepare(_ stream: RegionStream) async throws(NodeError) {
    try checkEnabled()
    if stream.isShared { return try checkDecides(stream) }
    // A node that was away does not know yet what happened meanwhile.
    guard core.staleness() != nil else {
      throw NodeError(
        .unavailable, reason: "catalog_unknown",
        "this node does not know the newest catalog yet, and so not whether region \(stream.region) "
          + "was lost", remedy: "wait until it has caught up with the catalog's leader")
    }
    let membership = core.store.current.membership
    let epoch = membership.region(stream.region)?.epoch ?? 0
    if let terms = stream.store.terms {
      if let later = laterEpoch(of: stream, than: terms, membership) {
        fence(stream, epoch: later)
      }
    } else {
      if stream.store.current.appliedThrough == .zero {
        try await checkUnled(stream.region)
      } else if epoch > 0 {
        fence(stream, epoch: epoch)
      }
    }
    guard stream.leader != nil else { throw notLed(stream.region) }
    try await claim(stream, epoch: epoch, replacing: false)
    if stream.store.terms == nil {
      do {
        try await stream.store.lead(on: RegionLeadTerms(epoch: epoch, floor: .zero))
      } catch {
        throw NodeError(RegionFailure.storage(error))
      }
    }
    guard stream.leader != nil else { throw notLed(stream.region) }
  }

  /// - Throws: ``NodeError`` unless the catalog allows streams of regions.
  func checkEnabled() throws(NodeError) {
    guard core.store.current.membership.isEnabled(.regionStreams) else {
      throw NodeError(
        .failedPrecondition, reason: "capability_not_enabled",
        "streams of regions are not enabled in this catalog",
        remedy: "cadastre members enable \(Capability.regionStreams.name), once every member's "
          + "release reads them")
    }
  }

  /// That a stream which is to begin here is led nowhere else.
  func checkUnled(_ region: Region) async throws(NodeError) {
    switch await directory.find(region) {
    case .none: return
    case .led(by: let leader):
      throw NodeError(
        .failedPrecondition, reason: "region_led_elsewhere",
        "\(leader.name) leads the stream of region \(region) at \(leader.address)",
        remedy: "start with --mirror-region \(region) to mirror it"
      ) {
        $0.leader = leader.name
        $0.leaderAddress = "\(leader.address)"
      }
    case .unknown:
      directory.forget(region)
      throw NodeError(
        .unavailable, reason: "region_unknown",
        "not all members of region \(region) answer: one of them may lead its stream",
        remedy:
          "wait for them; or, if the stream is gone for good, begin a new one above it: cadastre "
          + "region promote \(region) --leader-stopped")
    }
  }

  /// Leads what nobody else leads, in each stream as soon as it may be led. What this member led before
  /// it started again it led from this folder, which has one writer: that one has ended, and nobody
  /// waits for it.
  private func takeUp() async throws {
    var left = streams.values.filter { $0.leader != nil && !$0.isShared }
    var told: [Region: String] = [:]
    while !left.isEmpty {
      for stream in left {
        do throws(NodeError) {
          try await prepare(stream)
          if let leader = stream.leader { try await takeUp(Led(stream: stream, leader: leader)) }
          left.removeAll { $0 === stream }
        } catch {
          if stream.leader == nil { left.removeAll { $0 === stream } }
          guard told.updateValue("\(error)", forKey: stream.region) != "\(error)" else { continue }
          logger.warning(
            "cannot lead the stream of region \(stream.region) yet",
            metadata: ["error": "\(error)", "remedy": "\(error.detail?.remedy ?? "")"])
        }
      }
      if !left.isEmpty { try await Task.sleep(for: Self.pause) }
    }
  }

  private func takeUp(_ led: Led) async throws(NodeError) {
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

  /// Stops all clocks of a stream and puts that on record.
  func retireAll(of led: Led) async throws(NodeError) {
    let all = GroupSet(GroupRun(GroupID(0), through: GroupID(.max)))
    guard let command = led.leader.retire(all, id: .random(), at: clock.monotonic) else { return }
    _ = try await submit(command, to: led)
  }

  /// Stops all clocks and puts that on record, so that whoever is next need not wait; then closes the
  /// streams.
  package func close() async {
    for (region, stream) in streams {
      if let leader = stream.leader {
        do {
          try await retireAll(of: Led(stream: stream, leader: leader))
        } catch {
          logger.warning(
            "could not hand over the groups of region \(region): their next leader waits",
            metadata: ["error": "\(error)"])
        }
      }
      try? await NIOThreadPool.singleton.runIfActive { stream.store.close() }
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
          metadata: ["stream": "\(led.store.region)", "error": "\(error)"])
      }
      then(result)
    }
  }

  /// Has a command carried out, in the name of whoever asks where the node knows that, else in its own.
  func submit(
    _ command: RegionCommand, to led: Led
  ) async throws(NodeError) -> RegionReceipt {
    do {
      try checkCatalogKnown(for: command.change)
    } catch {
      led.leader.answered(command, events: nil, at: clock.monotonic)
      throw error
    }
    var command = command
    if let caller = Caller.current { command.actor = caller.name }
    let term = led.store.sharedLog?.lead?.term
    let result = await withCheckedContinuation { [command] continuation in
      submit(command, to: led) { continuation.resume(returning: $0) }
    }
    if case .success(let receipt) = result, receipt.outcome == .appended {
    } else {
      // Nothing was appended, and so nothing fenced.
      try await confirm(term, of: led)
    }
    let receipt: RegionReceipt
    do throws(RegionFailure) {
      receipt = try result.get()
    } catch {
      throw NodeError(error)
    }
    // It may have taken long: nobody acts on what another leader could have decided otherwise by now.
    try checkCatalogKnown(for: command.change)
    return receipt
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
    try checkEnabled()
    let led = try led(region)
    try await prepare(led.stream)
    let membership = core.store.current.membership
    try checkHomes(of: groups, in: led.stream.region, by: membership)
    try await takeOver(groups, for: led, by: membership)
    return (led.store.region, try await lead(groups, in: led, predecessorsEnded: false))
  }

  func lead(
    _ groups: GroupSet, in led: Led, predecessorsEnded: Bool
  ) async throws(NodeError) -> RegionReceipt {
    try await submit(
      led.leader.lead(
        groups, id: .random(), predecessorsEnded: predecessorsEnded,
        floor: led.store.terms?.floor ?? .zero, wallMilliseconds: wall.milliseconds,
        after: led.store.current.lastTime,
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
    let all = streams.values.compactMap { stream in
      stream.leader.map { Led(stream: stream, leader: $0) }
    }
    if let region, let led = all.first(where: { $0.stream.region == region }) { return led }
    if let region { throw notLed(region) }
    if all.count == 1 { return all[0] }
    if streams.count == 1, let only = streams.keys.first { throw notLed(only) }
    let names = all.map(\.stream.region.name).sorted().joined(separator: ", ")
    throw NodeError(
      .failedPrecondition, reason: "region_not_led",
      "this node leads \(all.isEmpty ? "no region's stream" : "several regions' streams")",
      remedy: names.isEmpty
        ? "ask a node that was started with --lead-region" : "name one of \(names)")
  }

  func notLed(_ region: Region) -> NodeError {
    if case .fenced(let epoch)? = streams[region]?.role {
      if streams[region]?.isShared ?? false { return fenced(region, epoch: epoch) }
      return NodeError(
        .failedPrecondition, reason: "region_fenced",
        "region \(region) was lost, or its stream claimed by another member, in epoch \(epoch), since "
          + "this node began to lead it",
        remedy: Self.fencedRemedy(region))
    }
    return NodeError(
      .failedPrecondition, reason: "region_not_led",
      "this node does not lead the stream of region \(region)",
      remedy: streams[region] == nil
        ? "ask a node that was started with --lead-region \(region)"
        : "this node has a mirror of it: ask its leader")
  }

  private func refusal(_ error: GroupClockError, _ group: GroupID) -> NodeError {
    switch error {
    case .notLed:
      for stream in streams.values {
        // A fenced stream knows no more who leads; this node itself is not where to go.
        if case .fenced = stream.role { continue }
        guard let clock = stream.store.current.ceilings[group],
          case .led(let leader, _, _, _) = clock.standing, leader != member
        else { continue }
        return NodeError(.failedPrecondition, reason: "not_group_leader", "\(error)") {
          $0.leader = leader.name
          $0.leaderAddress = directory.address(of: leader) ?? ""
        }
      }
      return NodeError(.failedPrecondition, reason: "not_group_leader", "\(error)")
    case .waiting: return NodeError(.unavailable, reason: "leader_waiting", "\(error)")
    case .leaseExpired:
      do {
        try checkCatalogKnown()
      } catch {
        return error
      }
      return NodeError(.unavailable, reason: "lease_expired", "\(error)")
    case .clock(_, .ceilingExpired):
      return NodeError(.unavailable, reason: "ceiling_expired", "\(error)")
    case .clock: return NodeError(.failedPrecondition, reason: "clock", "\(error)")
    }
  }

  // MARK: - Status

  /// How far ahead the wall clock is of what is made of it.
  package var wallClock: SteadyWallClock { wall.state }

  /// What is made of the wall clock.
  var wallMilliseconds: UInt64 { wall.milliseconds }

  /// Now, as leases take it.
  var monotonicNow: MonotonicTime { clock.monotonic }
}

extension NodeClock {
  /// The clock that only goes forward, as clocks and leases take it.
  package var monotonic: MonotonicTime {
    MonotonicTime(nanoseconds: now().sinceStart.wholeNanoseconds)
  }
}
