import CadastreClient
import Catalog
import GRPCCore
import Logging
import Replay
import StateMachines
import Synchronization

extension SharedRegion {
  /// Campaigns for the lead of the stream and leads, again and again, until the node shuts down.
  func lead(_ shared: any SharedStream) async {
    var told = ""
    while !isOver {
      do {
        guard await untilFit(),
          let lead = try await campaign(for: shared, as: member, unless: core.changes)
        else { return }
        let failure = await serve(lead, shared)
        await giveBack(lead)
        if let failure { throw failure }
        told = ""
      } catch {
        if error.problem != told { note(.warning, "could not lead the stream of a region", error) }
        told = error.problem
      }
      guard await sleep(.milliseconds(200)) else { return }
    }
  }

  /// Waits until this node has what the stream had a moment ago, and may lead; false when it shuts down.
  private func untilFit() async -> Bool {
    let limit = following.probeInterval * 3 + .seconds(1)
    repeat {
      let now = core.clock.now().sinceStart
      guard store.condition == nil, !isFenced else { continue }
      let staleness = stream.bond.withLock { $0.freshness.staleness(at: now) }
      if let staleness, staleness < limit { return true }
    } while await sleep(min(following.probeInterval, .milliseconds(50)))
    return false
  }

  /// Whether the region was lost since the stream is led.
  private var isFenced: Bool {
    if case .fenced = stream.role { return true }
    guard let terms = store.terms else { return true }
    return regions.laterEpoch(of: stream, than: terms, core.store.current.membership) != nil
  }

  /// Leads from the moment when all of the stream is here until the lead is over.
  ///
  /// - Returns: What went wrong before anything could be led.
  private func serve(_ lead: any Leadership, _ shared: any SharedStream) async -> (any Error)? {
    let (losses, lose) = AsyncStream.makeStream(of: String.self)
    let leader = RegionLeader(regions.clocks, of: region, at: regions.monotonicNow)
    do {
      try await takeUp(lead, shared) { lose.yield($0) }
      stream.lead(leader, decidingFrom: .never)
      stream.changes.publish()
      try await regions.takeUp(shared: RegionNode.Led(stream: stream, leader: leader))
    } catch {
      end(lead)
      return error
    }
    core.logger.notice(
      "leading the stream of region \(region)",
      metadata: ["stream": "\(shared.name)", "term": "\(lead.term)"])
    let reason = await untilOver(lead, losses)
    if core.changes.isClosed { await retire(leader) }
    end(lead)
    core.logger.notice(
      "leading the stream of region \(region) no more",
      metadata: [
        "stream": "\(shared.name)", "term": "\(lead.term)", "reason": "\(reason)",
      ])
    return nil
  }

  private func takeUp(
    _ lead: any Leadership, _ shared: any SharedStream,
    orLost lose: @escaping @Sendable (String) -> Void
  ) async throws {
    let (store, limit) = (store, placement.takeOverLimit)
    try await within(limit) {
      // Nobody else appends any more.
      let tail = try await shared.tail()
      while store.current.appliedThrough < tail.position {
        try await Task.sleep(for: .milliseconds(5))
      }
      try store.lead(in: lead.term, after: tail) { _, why in lose(why.problem) }
    } orThrow: {
      NodeError(
        .unavailable, "what the stream had was not stored here within \(limit) of winning the lead")
    }
  }

  private func end(_ lead: any Leadership) {
    stream.stopLeading()
    store.stopLeading()
    regions.clocks.drop(region)
    stream.bond.withLock { $0.freshness.disconnected() }
    stream.changes.publish()
  }

  /// Waits until a lead is over, or is to be, and says why it is.
  private func untilOver(_ lead: any Leadership, _ losses: AsyncStream<String>) async -> String {
    await withTaskGroup(of: String.self) { [core] group in
      group.addTask { await lead.untilLost() }
      group.addTask {
        for await why in losses { return why }
        return "this node is shutting down"
      }
      group.addTask {
        await core.changes.untilClosed()
        return "this node is shutting down"
      }
      group.addTask { [self] in
        while !isFenced, await sleep(.milliseconds(100)) {}
        return "the region was lost"
      }
      defer { group.cancelAll() }
      return await group.next() ?? ""
    }
  }

  /// Stops all clocks and puts that on record, so that whoever is next need not wait.
  private func retire(_ leader: RegionLeader) async {
    let led = RegionNode.Led(stream: stream, leader: leader)
    let limit = placement.drainLimit
    // Whether or not this task was cancelled.
    await Task { [self] in
      do {
        try await within(limit) {
          try await self.regions.retireAll(of: led)
        } orThrow: {
          NodeError(.deadlineExceeded, "it took longer than \(limit)")
        }
      } catch {
        note(.warning, "could not hand over the groups of a region: their next leader waits", error)
      }
    }.value
  }

  // MARK: - The window

  /// Says how far this node has stored the stream, and, while it leads, lets the window go on.
  func report(to shared: any SharedStream) async {
    repeat {
      do {
        try await shared.report(
          member, storedThrough: store.current.appliedThrough, lifetime: placement.reportLifetime)
        if let lead = store.sharedLog?.lead, let term = lead.term {
          try await moveWindow(lead, term)
        } else if let leader = try await shared.leader() {
          stream.bond.withLock { $0.leaderAddress = leader.member.address }
        }
      } catch {
        core.logger.debug(
          "could not report to the shared stream of a region",
          metadata: ["stream": "\(region)", "error": "\(error.problem)"])
      }
    } while await sleep(placement.reportInterval)
  }

  private func moveWindow(_ lead: StreamLead, _ term: ClusterTerm) async throws {
    let decision = placement.window.decide(
      try await lead.stream.progress(), trimmed: try await lead.stream.trimmedThrough(),
      last: store.current.appliedThrough)
    lead.setObstacle(
      decision.isFull
        ? .windowHeldBack(
          by: decision.heldBackBy, entries: decision.lag, limit: placement.window.limit) : nil)
    if let position = decision.trimThrough {
      try await lead.stream.trim(through: position, in: term)
    }
  }
}
