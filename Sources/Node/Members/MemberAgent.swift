import CadastreClient
import Catalog
import Logging
import Replay
import StateMachines
import Synchronization

/// What a member does by itself: joins, asks the members of other regions whether they are there, and
/// reports what it hears of regions. At the leader also what follows from a loss: it soft-fails the
/// routes of a lost region, gives them back to one that returns, and promotes those for which a policy
/// says so.
///
/// Whether a region is suspected or lost is decided by the state machine, from what members report.
struct MemberAgent: Sendable {
  let core: NodeCore
  let sink: any CommandSink
  let options: MemberOptions
  let address: NodeAddress
  /// How to call the other members.
  let connection: ConnectionOptions

  func run() async throws {
    var heard: [Region: Moment] = [:]
    while true {
      try await Task.sleep(for: options.interval)
      let state = core.store.current
      guard core.condition == nil, state.membership.isEnabled(.members) else { continue }
      await join(state.membership)
      await listen(to: state.membership, &heard)
      await report(state.membership, heard)
      if core.role == .leader { await followUp() }
    }
  }

  private func join(_ membership: Membership) async {
    if let member = membership.member(options.name), member.status != .left,
      member.address == "\(address)", member.region == options.region,
      member.capabilities == core.store.reading
    {
      return
    }
    await submit(
      .join(
        options.name, address: "\(address)", region: options.region,
        capabilities: core.store.reading), "join")
  }

  /// Asks every member elsewhere; takes down when one of a region answered.
  private func listen(to membership: Membership, _ heard: inout [Region: Moment]) async {
    let others = membership.members.filter {
      $0.status != .left && $0.region != options.region && $0.name != options.name
    }
    let start = core.clock.now()
    // Whoever was never asked has been silent for no time yet.
    for region in Set(others.map(\.region)) where heard[region] == nil { heard[region] = start }
    let patience = options.interval * 2
    let regions = await withTaskGroup(of: Region?.self) { group in
      for other in others {
        group.addTask {
          guard let address = try? NodeAddress(other.address) else { return nil }
          let answer = try? await NodeClient.with(address, connection: connection) { client in
            try await client.status(deadline: patience)
          }
          return answer.map { $0.catalog == core.store.catalog } ?? false ? other.region : nil
        }
      }
      var regions: Set<Region> = []
      for await region in group { if let region { regions.insert(region) } }
      return regions
    }
    for region in regions { heard[region] = core.clock.now() }
  }

  private func report(_ membership: Membership, _ heard: [Region: Moment]) async {
    guard membership.member(options.name)?.status == .active else { return }
    let now = core.clock.now()
    for record in membership.regions where record.region != options.region {
      guard let last = heard[record.region] else { continue }
      let isSilent = now - last > options.timeout
      guard record.silentTo.contains(options.name) != isSilent else { continue }
      // A region that is lost is judged no more; that it is heard again tells operators.
      if isSilent, record.status.isFenced { continue }
      await submit(
        .report(by: options.name, of: record.region, isSilent: isSilent),
        isSilent ? "report a silent region" : "report a region that is heard again")
    }
  }

  /// What a loss or a return asks for, as far as it is not done.
  private func followUp() async {
    for record in core.store.current.membership.regions where record.status.isFenced {
      while let now = core.store.current.membership.region(record.region), now.status.isFenced,
        !now.sweep.isDone, !Task.isCancelled
      {
        guard
          await submit(
            .sweep(record.region, epoch: now.epoch, limit: options.sweepCount),
            "go through the routes of a region")
        else { return }
      }
      await promote(record.region)
    }
  }

  /// Promotes the routes that policies name, where no operator's plan is under way.
  private func promote(_ region: Region) async {
    let state = core.store.current
    let spans = state.membership.policies.map(\.span)
    guard !spans.isEmpty, let record = state.membership.region(region), record.status == .lost,
      record.recovery.map({ $0.step == $0.steps }) ?? true,
      let plan = try? state.recoveryPlan(for: region, within: spans)
    else { return }
    let name = plan.name
    for index in plan.steps.indices {
      guard
        await submit(
          .promote(plan.step(index, named: name)), "promote routes of a lost region by policy")
      else { return }
    }
  }

  /// Whether it was carried out, or was so already.
  @discardableResult
  private func submit(_ change: MembershipChange, _ what: String) async -> Bool {
    let command = Command(
      id: .random(), actor: "member \(options.name)", reason: what, change: .membership(change))
    do {
      let receipt = try await sink.submit(command, timeout: options.timeout, hops: 0)
      if receipt.outcome == .appended {
        core.logger.notice(
          "\(what)", metadata: ["position": "\(receipt.position)", "member": "\(options.name)"])
      }
      return true
    } catch {
      core.logger.warning(
        "could not \(what): trying again",
        metadata: ["member": "\(options.name)", "error": "\(error)"])
      return false
    }
  }
}
