import CadastreClient
import Catalog
import GRPCCore
import Logging
import Replay
import StateMachines

extension ClusterNode {
  /// Follows the stream whenever this member does not lead.
  func follow() async {
    var backoff = Backoff(first: following.firstPause, maximum: following.maximumPause)
    var generator = SystemRandomNumberGenerator()
    while !isOver {
      // Whoever leads has what it appends.
      guard await untilRole(.learner) else { return }
      let before = core.store.current.appliedThrough
      let failure: any Error
      do {
        try await followSource()
        continue
      } catch {
        failure = error
      }
      if isOver { return }
      if let lost = failure as? PeerLost {
        leave(lost)
        continue
      }
      let pause = await recover(from: failure) { backoff.next(using: &generator) }
      if core.store.current.appliedThrough > before { backoff.reset() }
      core.updateLearner { learner in
        learner.isConnected = false
        learner.reconnects += 1
      }
      guard await sleep(pause) else { return }
    }
  }

  /// Waits until the node has a role; false when it shuts down first.
  private func untilRole(_ role: NodeRole) async -> Bool {
    await core.leads.withSubscription { subscription in
      while !isOver {
        if core.role == role { return true }
        switch await subscription.wait() {
        case .changed, .due: continue
        case .closed, .cancelled: return false
        }
      }
      return false
    }
  }

  /// Follows until this member leads, or entries are to be taken from elsewhere.
  private func followSource() async throws {
    let source = source()
    note(source)
    try await untilClosed { [self] in
      try await withThrowingTaskGroup(of: Void.self) { group in
        defer { group.cancelAll() }
        group.addTask { [self] in
          if let condition = core.store.condition { throw FollowFailure.logNotWhole(condition) }
          switch source {
          case .stream:
            try await stream.follow(after: core.store.current.appliedThrough) {
              try await self.take($0)
            }
          case .peer(let peer): try await follow(peer: peer)
          }
        }
        group.addTask { _ = await self.untilRole(.leader) }
        group.addTask { await self.untilOther(than: source) }
        try await group.next()
      }
    }
  }

  private func take(_ append: SharedAppend) async throws {
    if !append.entries.isEmpty {
      do {
        try await core.store.replicate(append.entries)
      } catch {
        throw FollowFailure.store(error)
      }
      core.agree()
    }
    let stored = core.store.current.appliedThrough
    // How old this word is nobody knows: it tells how far the stream is, not how fresh the node.
    core.freshness.heard(
      FollowMessage.Heartbeat(
        position: append.tail.position, version: append.tail.version, probe: 0, staleness: nil),
      stored: stored)
    core.updateLearner { learner in
      learner.isConnected = true
      if stored >= append.tail.position { learner.lastError = "" }
    }
    core.waits.publish()
  }

  /// Does what can be done about an end of following, and says how long to wait before the next try.
  private func recover(from failure: any Error, _ pause: () -> Duration) async -> Duration {
    core.updateLearner { $0.lastError = failure.problem }
    switch remedy(for: failure) {
    case .reconnect:
      let pause = pause()
      note(failure, "lost the stream: following again", .warning, pause)
      return pause
    case .installState:
      do {
        try await catchUp()
        return .zero
      } catch {
        let pause = pause()
        note(error, "could not take what the stream no longer has from the leader", .warning, pause)
        return pause
      }
    case .halt(let help):
      note(failure, "cannot follow: \(help)", .error, following.haltedPause)
      return following.haltedPause
    case .diverged(let help):
      core.diverge(Divergence(problem: failure.problem, remedy: help))
      note(failure, "cannot follow: \(help)", .error, following.haltedPause)
      return following.haltedPause
    }
  }

  private func remedy(for failure: any Error) -> FollowRemedy {
    if let failure = failure as? FollowFailure { return failure.remedy }
    guard let error = failure as? SharedStreamError else { return .reconnect }
    switch error {
    case .trimmed: return .installState
    case .damaged(let what): return .halt("The stream is damaged: \(what).")
    case .deposed, .elsewhere, .outcomeUnknown, .unavailable, .untrusted, .refused, .windowFull,
      .missing, .exists:
      return .reconnect
    }
  }

  private func note(
    _ error: any Error, _ message: String, _ level: Logger.Level, _ pause: Duration
  ) {
    // Reads that wait for what will not come hear of it.
    core.waits.publish()
    core.logger.log(
      level: level, "\(message)",
      metadata: [
        "catalog_version": "\(core.store.current.version)", "stream": "\(stream.name)",
        "error": "\(error.problem)", "pause": "\(pause)",
      ])
  }

  // MARK: Behind the window

  /// Takes what the stream no longer has from the log of whoever leads: entries, where that has them,
  /// else a state.
  private func catchUp() async throws {
    let position = try await stream.trimmedThrough()
    guard let leader, leader.member.name != options.name else {
      throw NodeError(.unavailable, "nobody else leads who could be asked")
    }
    let link = try links.link(to: leader)
    do {
      try await followLeader(link, through: position)
    } catch let failure as FollowFailure {
      guard case .installState = failure.remedy else { throw failure }
      try await CheckpointFetch(
        leader: link, folder: core.store.folder, options: following, logger: core.logger
      ).install(in: core)
      try await followLeader(link, through: position)
    }
  }

  /// Follows another member's log until this one has come as far as the window begins.
  private func followLeader(_ link: LeaderLink, through position: LogPosition) async throws {
    let client = link.client
    let header = core.store.current.header
    try await Node.followStream(of: link.address, by: core, following) { [core] now in
      FollowProgress(
        probe: core.freshness.probe(at: now), stored: core.store.current.appliedThrough)
    } until: { [core] in
      _ = try await core.store.wait { $0.appliedThrough >= position }
    } orSilent: {
      link.replace(client)
    } _: { [core] questions, heard in
      let intake = ReplicaIntake(core: core)
      try await client.follow(after: header, region: core.region, questions: questions) {
        message in
        heard()
        try await intake.take(message)
      }
    }
    guard core.store.current.appliedThrough >= position else {
      throw NodeError(.unavailable, "\(link.address) ended the stream")
    }
  }

  // MARK: Freshness

  /// Asks again and again where the stream ends: once that is stored here, this node was up to date
  /// when it asked.
  func probe() async {
    while !isOver {
      if core.role == .learner {
        let header = core.store.current.header
        let number = core.freshness.probe(at: core.clock.now())
        if let tail = try? await stream.tail() {
          heard(tail, answering: number, after: header)
          compare(tail.position)
        }
      }
      guard await sleep(following.probeInterval) else { return }
    }
  }

  private func heard(_ tail: LogTail, answering number: UInt64, after header: StateHeader) {
    guard core.role == .learner else { return }
    let isSame = header.position == tail.position && header.hash == tail.hash
    guard header.position < tail.position || isSame else {
      return core.diverge(
        Divergence(
          problem:
            "the log here ends with another entry \(header.position) than the shared stream, "
            + "which ends with entry \(tail.position)",
          remedy: "Verify both; rebuild this member in an empty folder if the stream is right."))
    }
    if isSame { core.agree() }
    core.freshness.heard(
      FollowMessage.Heartbeat(
        position: tail.position, version: tail.version, probe: number, staleness: .zero),
      stored: core.store.current.appliedThrough)
    core.waits.publish()
  }
}
