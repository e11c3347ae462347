import CadastreClient
import CadastreProtocol
import Catalog
import GRPCCore
import Logging
import Replay
import StateMachines

/// The catalog says where groups are at home, and the leaders of regions' streams see to it: who lacks the
/// clock of a group that is at home in its region asks the leaders of the others for it.
///
/// A clock is in one stream at a time. The old home seals it with an entry that says how high it came,
/// when it is asked and not before, so that timestamps are to be had as long as possible; the new home
/// asks for that as often as it takes, begins above it with an entry of its own, and leads then.
/// Whichever of them stops in between goes on from what its stream says.
extension RegionNode {
  /// How often the catalog is looked at.
  private static let interval: Duration = .milliseconds(100)

  /// Follows the catalog until the task is cancelled.
  func followHomes() async throws {
    var settled: [Region: (leader: RegionLeader, digest: StateDigest)] = [:]
    var told: [Region: String] = [:]
    while true {
      try await Task.sleep(for: Self.interval)
      let membership = core.store.current.membership
      guard membership.isEnabled(.regionStreams), core.staleness() != nil else { continue }
      for stream in streams.values {
        guard let leader = stream.leader, let terms = stream.store.terms else { continue }
        if let known = settled[stream.region], known.leader === leader,
          known.digest == membership.digest
        {
          continue
        }
        let led = Led(stream: stream, leader: leader)
        do throws(NodeError) {
          // Where claims were enabled since it leads.
          if !stream.isShared {
            try await claim(stream, epoch: terms.epoch, replacing: false)
          }
          try await bringHome(to: led, by: membership)
          settled[stream.region] = (leader, membership.digest)
          told[stream.region] = nil
        } catch {
          guard told.updateValue("\(error)", forKey: stream.region) != "\(error)" else { continue }
          logger.warning(
            "cannot bring the groups of region \(stream.region) home yet",
            metadata: ["error": "\(error)", "remedy": "\(error.detail?.remedy ?? "")"])
        }
      }
    }
  }

  /// Takes over the clocks of groups that are at home in a region, and leads them.
  private func bringHome(to led: Led, by membership: Membership) async throws(NodeError) {
    let wanted = membership.groupSet(in: led.stream.region)
    try await takeOver(wanted, for: led, by: membership)
    var vacant = GroupSet()
    led.store.current.ceilings.forEach(in: wanted) { run, clock in
      if case .led? = clock?.standing { return }
      vacant.append(run)
    }
    guard !vacant.isEmpty else { return }
    let receipt = try await lead(vacant, in: led, predecessorsEnded: false)
    logger.notice(
      "took up groups that are at home in region \(led.stream.region)",
      metadata: ["groups": "\(vacant.count)", "position": "\(receipt.position)"])
  }

  /// Takes over the clocks of those of some groups that have one elsewhere, so that they may be led
  /// here. All other regions are asked, since nothing here says where a clock was before.
  ///
  /// - Throws: ``NodeError`` when one of them does not answer, or has the clock of a group that is not
  ///   at home here.
  func takeOver(
    _ groups: GroupSet, for led: Led, by membership: Membership
  ) async throws(NodeError) {
    let region = led.stream.region
    let missing = groups.subtracting(led.store.current.ceilings.groupsHere)
    guard !missing.isEmpty else { return }
    for record in membership.regions where record.region != region {
      let arrivals = try await fetch(missing, from: record.region, to: region)
      guard !arrivals.isEmpty else { continue }
      _ = try await submit(
        RegionCommand(
          id: .random(), actor: member.name, reason: "groups come from \(record.region)",
          change: .arrive(arrivals, from: record.region)), to: led)
    }
  }

  /// That none of some groups is at home in another region.
  func checkHomes(
    of groups: GroupSet, in region: Region, by membership: Membership
  ) throws(NodeError) {
    for record in membership.regions where record.region != region {
      let elsewhere = groups.intersection(membership.groupSet(in: record.region))
      guard elsewhere.isEmpty else {
        throw NodeError(
          .failedPrecondition, reason: "home_elsewhere",
          "groups \(elsewhere) are at home in region \(record.region)",
          remedy: "move them first: cadastre region move-group \(elsewhere) --to \(region)")
      }
    }
  }

  /// The clocks of those of some groups that are in another region's stream, sealed there for good.
  ///
  /// - Throws: ``NodeError`` when it cannot be known whether they are.
  private func fetch(
    _ groups: GroupSet, from region: Region, to home: Region
  ) async throws(NodeError) -> [Arrival] {
    if let stream = streams[region], let leader = stream.leader {
      return try await depart(groups, from: Led(stream: stream, leader: leader), to: home)
    }
    switch await directory.find(region) {
    case .none: return []
    case .led(by: let leader):
      do {
        return try await NodeClient.with(leader.address, connection: directory.connection) {
          client in
          try await client.depart(groups, from: region, to: home, deadline: .seconds(5))
        }
      } catch {
        directory.forget(region)
        throw NodeError(any: error)
      }
    case .unknown:
      directory.forget(region)
      throw NodeError(
        .unavailable, reason: "region_unknown",
        "region \(region) may have clocks of these groups, and nobody that leads its stream answers",
        remedy: "wait for it, or promote a mirror of its stream: cadastre region promote")
    }
  }

  /// Lets groups go to the region that is their home, and says with what clocks. Those that went there
  /// before are told again.
  ///
  /// - Throws: ``NodeError`` when some are here whose home is another, as this node knows it.
  @discardableResult
  func depart(
    _ groups: GroupSet, from led: Led, to region: Region
  ) async throws(NodeError) -> [Arrival] {
    let leaving = groups.intersection(led.store.current.ceilings.groupsHere)
    let home = core.store.current.membership.groupSet(in: region)
    guard leaving.isSubset(of: home) else {
      throw NodeError(
        .unavailable, reason: "home_differs",
        "groups \(leaving.subtracting(home)) are not at home in region \(region), as this node knows it",
        remedy: "ask again once it has caught up with the catalog")
    }
    // Those that went before the caller heard of it. A lease that may run still is waited for.
    var arrivals = led.store.current.ceilings.departed(
      groups, to: region, lease: clocks.options.lease)
    if !leaving.isEmpty {
      // Who has stopped need not be waited for at the new home.
      if let command = led.leader.retire(leaving, id: .random(), at: core.clock.monotonic) {
        _ = try await submit(command, to: led)
      }
      let receipt = try await submit(
        RegionCommand(
          id: .random(), actor: member.name, reason: "groups go to \(region)",
          change: .depart(leaving, to: region)), to: led)
      for case .groupsDeparted(let groups, _, let clock) in receipt.events {
        arrivals.append(Arrival(groups: groups, clock: clock))
      }
      logger.notice(
        "let groups go to region \(region)",
        metadata: ["groups": "\(leaving.count)", "stream": "\(led.stream.region)"])
    }
    return arrivals
  }
}

extension RegionNode {
  /// Lets groups leave a region whose stream this node leads; see ``depart(_:from:to:)``.
  package func depart(
    _ groups: GroupSet, from region: Region, to home: Region
  ) async throws(NodeError) -> [Arrival] {
    try await depart(groups, from: try led(region), to: home)
  }
}

extension CeilingTable {
  /// The groups that have a clock here. O(*n*) in the number of runs.
  var groupsHere: GroupSet {
    GroupSet(
      entries.compactMap { entry in
        if case .departed = entry.clock.standing { nil } else { entry.groups }
      })
  }

  /// What another region needs to know of groups that went there: of their clocks the ceiling is left,
  /// which they stayed below.
  func departed(_ groups: GroupSet, to region: Region, lease: Milliseconds) -> [Arrival] {
    var arrivals: [ClockHandover: GroupSet] = [:]
    forEach(in: groups) { run, clock in
      guard let clock, case .departed(region) = clock.standing else { return }
      let handover = ClockHandover(
        term: clock.term, ceiling: clock.ceiling, floor: clock.ceiling, lease: lease)
      arrivals[handover, default: GroupSet()].append(run)
    }
    return arrivals.map { Arrival(groups: $0.value, clock: $0.key) }
  }
}

extension Membership {
  /// The groups at home in a region. O(*n*).
  func groupSet(in region: Region) -> GroupSet {
    GroupSet(groups: groups(in: region))
  }
}
