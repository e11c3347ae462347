import CadastreClient
import Catalog
import GRPCCore
import Logging
import Replay
import StateMachines
import Synchronization

extension ClusterNode {
  /// Campaigns for the lead and leads, again and again, until the node shuts down.
  func lead(as member: ClusterMember) async {
    await keep("lead the cluster") { [self] in
      try await untilClosed { try await self.untilFit() }
      guard let lead = try await campaign(for: stream, as: member, unless: core.changes) else {
        return
      }
      let record = LeaderRecord(member: member, term: lead.term)
      do {
        try await serve(lead, record)
      } catch {
        await giveBack(lead)
        throw error
      }
      await giveBack(lead)
    }
  }

  /// Waits until this member has what the stream had a moment ago, and a log to write to.
  private func untilFit() async throws {
    let limit = following.probeInterval * 3 + .seconds(1)
    while true {
      if core.condition == nil, let staleness = core.staleness(), staleness < limit { return }
      try await Task.sleep(for: min(following.probeInterval, .milliseconds(50)))
    }
  }

  /// Leads from the moment when this log has what the stream has until the lead is over.
  private func serve(_ lead: any Leadership, _ record: LeaderRecord) async throws {
    guard let log = core.store.shared else { return }
    // Who is to lead has to have what the stream has, whoever else knows it or not.
    setStreamOnly(true)
    defer { setStreamOnly(false) }
    let (losses, lose) = AsyncStream.makeStream(of: String.self)
    try await takeUp(lead, log, record) { lose.yield($0) }
    core.leaderAddress = record.member.address
    core.updateCluster { status in
      status.leader = record.member.name.name
      status.term = record.term.rawValue
    }
    core.setRole(.leader)
    core.logger.notice(
      "leading", metadata: ["stream": "\(stream.name)", "term": "\(lead.term)"])
    let end = await untilOver(lead, losses)
    switch end {
    case .lost: break
    case .shutDown: await drain()
    case .handedOver:
      // This node goes on: what comes from now on waits for the other to lead.
      log.stopLeading()
      await drain()
    }
    log.stopLeading()
    core.freshness.disconnected()
    core.updateCluster { status in
      (status.heldBackBy, status.lag) = ([], 0)
    }
    core.setRole(.learner)
    core.logger.notice(
      "leading no more",
      metadata: [
        "stream": "\(stream.name)", "term": "\(lead.term)",
        "reason": "\(end)",
      ])
  }

  private func takeUp(
    _ lead: any Leadership, _ log: ReplicatedLog, _ record: LeaderRecord,
    orLost lose: @escaping @Sendable (String) -> Void
  ) async throws {
    let (stream, core, limit) = (stream, core, options.takeOverLimit)
    try await within(limit) {
      // Nobody else appends any more.
      let tail = try await stream.tail()
      _ = try await core.store.wait { $0.appliedThrough >= tail.position }
      try log.lead(in: record.term, after: tail) { _, why in lose(why.problem) }
    } orThrow: {
      NodeError(
        .unavailable, "what the stream had was not stored here within \(limit) of winning the lead")
    }
  }

  /// Waits until a lead is over, or is to be.
  private func untilOver(_ lead: any Leadership, _ losses: AsyncStream<String>) async -> LeadEnd {
    await withTaskGroup(of: LeadEnd.self) { [core] group in
      group.addTask { .lost(await lead.untilLost()) }
      group.addTask {
        for await why in losses { return .lost(why) }
        return .shutDown
      }
      group.addTask {
        await core.changes.untilClosed()
        return .shutDown
      }
      group.addTask { await self.untilSuccessor(of: lead.term) }
      defer { group.cancelAll() }
      return await group.next() ?? .shutDown
    }
  }

  /// Waits until another member was named to lead next that can do so at once.
  private func untilSuccessor(of term: ClusterTerm) async -> LeadEnd {
    while await sleep(options.reportInterval) {
      guard let named = (try? await stream.successor(of: term)) ?? nil,
        named.name != options.name,
        let progress = try? await stream.progress().first(where: { $0.member.name == named.name })
      else { continue }
      let last = core.store.current.appliedThrough
      let lag = last.rawValue - min(last, progress.storedThrough).rawValue
      if lag <= options.handOverLag { return .handedOver(named.name) }
    }
    return .shutDown
  }

  /// Lets commands end that are under way; new ones are refused already.
  private func drain() async {
    let due = core.clock.now() + options.drainLimit
    while core.store.waitingCommandCount > 0, core.clock.now() < due {
      do { try await Task.sleep(for: .milliseconds(5)) } catch { return }
    }
  }

  // MARK: The window

  /// Says how far this member has stored the stream, and, while it leads, lets the window go on.
  func report(as member: ClusterMember) async {
    var isFull = false
    var isNearlyFull = false
    while !isOver {
      do {
        try await stream.report(
          member, storedThrough: core.store.current.appliedThrough,
          lifetime: options.reportLifetime)
        if let log = core.store.shared, let term = log.term {
          let decision = try await moveWindow(log, term)
          if decision.isFull != isFull { noteWindow(decision) }
          isFull = decision.isFull
          isNearlyFull = try await noteUsage(wasNearlyFull: isNearlyFull)
        }
      } catch {
        core.logger.debug(
          "could not report to the cluster", metadata: ["error": "\(error.problem)"])
      }
      guard await sleep(options.reportInterval) else { return }
    }
  }

  private func moveWindow(
    _ log: ReplicatedLog, _ term: ClusterTerm
  ) async throws -> WindowPolicy.Decision {
    let progress = try await stream.progress()
    let decision = options.window.decide(
      progress, trimmed: try await stream.trimmedThrough(),
      last: core.store.current.appliedThrough)
    core.updateCluster { status in
      status.heldBackBy = decision.heldBackBy.map(\.name)
      status.lag = decision.lag
    }
    log.setObstacle(
      decision.isFull
        ? .windowHeldBack(
          by: decision.heldBackBy, entries: decision.lag, limit: options.window.limit) : nil)
    if let position = decision.trimThrough { try await stream.trim(through: position, in: term) }
    return decision
  }

  private func noteWindow(_ decision: WindowPolicy.Decision) {
    let metadata: Logger.Metadata = [
      "members": "\(decision.heldBackBy.map(\.name).joined(separator: ", "))",
      "entries": "\(decision.lag)", "limit": "\(options.window.limit)",
    ]
    if decision.isFull {
      core.logger.error(
        "members hold the shared stream back: refusing commands", metadata: metadata)
    } else {
      core.logger.notice("taking commands again: members have caught up", metadata: metadata)
    }
  }

  /// Warns when the servers of the stream have little room left, once.
  private func noteUsage(wasNearlyFull: Bool) async throws -> Bool {
    guard let usage = try await stream.usage() else { return false }
    let isNearlyFull = usage.used / 4 >= usage.quota / 5
    if isNearlyFull, !wasNearlyFull {
      core.logger.warning(
        "the servers of the shared stream are more than 80 % full",
        metadata: ["bytes": "\(usage.used)", "quota": "\(usage.quota)"])
    }
    return isNearlyFull
  }
}

/// Why a member leads no more.
private enum LeadEnd: CustomStringConvertible {
  case lost(String)
  case shutDown
  /// It was asked to let another member lead.
  case handedOver(MemberName)

  var description: String {
    switch self {
    case .lost(let why): why
    case .shutDown: "this node is shutting down"
    case .handedOver(let name): "\(name) is to lead, as was asked for"
    }
  }
}
