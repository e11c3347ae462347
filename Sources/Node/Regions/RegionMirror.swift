import CadastreClient
import CadastreProtocol
import Catalog
import GRPCCore
import Logging
import Replay
import StateMachines
import Synchronization

/// Keeps a mirror of a region's stream in step with the node that leads it: finds that node, follows,
/// proves and stores each entry, and starts over for as long as the stream is a mirror.
///
/// As with the catalog, nothing is taken over that does not follow from what is there, and a whole
/// state only when the leader says that entries no longer lead to it.
struct RegionMirror: Sendable {
  let stream: RegionStream
  let core: NodeCore
  let directory: RegionDirectory
  let options: FollowOptions

  /// Follows until the stream is led from here, or the task is cancelled.
  func run() async {
    var backoff = Backoff(first: options.firstPause, maximum: options.maximumPause)
    var generator = SystemRandomNumberGenerator()
    while !Task.isCancelled, !core.changes.isClosed, stream.isMirror {
      let before = stream.store.current.appliedThrough
      var failure: any Error = NodeError(
        .unavailable, reason: "no_region_leader",
        "no node that leads the stream of region \(stream.region) was found",
        remedy: "start one with --lead-region, as a member, or promote a mirror")
      var pause: Duration?
      if case .led(by: let leader) = await directory.find(stream.region) {
        stream.bond.withLock { $0.leaderAddress = "\(leader.address)" }
        do {
          try await NodeClient.with(leader.address, connection: directory.connection) { client in
            try await follow(client)
          }
          failure = NodeError(.unavailable, "the leader ended the stream")
        } catch {
          failure = error
        }
        directory.forget(stream.region)
        if case .installState = remedy(for: failure), await install(from: leader.address) {
          pause = .zero
        }
      }
      stream.bond.withLock { bond in
        bond.isConnected = false
        bond.freshness.disconnected()
        bond.lastError = "\(failure)"
        bond.reconnects += 1
      }
      guard !Task.isCancelled, !core.changes.isClosed, stream.isMirror else { return }
      if stream.store.current.appliedThrough > before { backoff.reset() }
      if case .halt(let help) = remedy(for: failure) {
        pause = options.haltedPause
        note(.error, "cannot follow the stream of a region", "\(failure) \(help)")
      } else {
        note(.info, "lost the stream of a region: starting over", "\(failure)")
      }
      do {
        try await Task.sleep(for: pause ?? backoff.next(using: &generator))
      } catch {
        return
      }
    }
  }

  private func note(_ level: Logger.Level, _ message: Logger.Message, _ error: String) {
    core.logger.log(
      level: level, message,
      metadata: [
        "stream": "\(stream.region)", "position": "\(stream.store.current.appliedThrough)",
        "error": "\(error)",
      ])
  }

  /// What is to be done when following has ended like this; all that an operator has to mend is one.
  private func remedy(for failure: any Error) -> FollowRemedy {
    guard let failure = failure as? FollowFailure else { return .reconnect }
    switch failure.remedy {
    case .diverged:
      return .halt(
        "Its leader has another history. Promote one of the two, and let the other begin anew: "
          + "remove \(RegionEventLog.folder(of: stream.region, in: core.store.folder)) there.")
    case let remedy: return remedy
    }
  }

  /// Follows for as long as the connection holds.
  private func follow(_ client: NodeClient) async throws {
    if let condition = stream.store.condition { throw FollowFailure.logNotWhole(condition) }
    let state = stream.store.current
    try await followStream(of: client.address, by: core, options) { now in
      guard stream.isMirror else { return nil }
      return FollowProgress(
        probe: stream.bond.withLock { $0.freshness.probe(at: now.sinceStart) },
        stored: stream.store.current.appliedThrough)
    } _: { questions, heard in
      let session = SessionBox(LearnerSession(catalog: core.store.catalog))
      try await client.follow(
        after: state, of: core.store.catalog, region: core.region, questions: questions
      ) { message in
        heard()
        guard let message = try FollowMessage(message) else { return }
        try await take(session.take(message), message)
      }
    }
  }

  private func take(_ step: LearnerSession.Step, _ message: FollowMessage) async throws {
    if case .started = message, step.thenFail == nil {
      stream.bond.withLock { $0.isConnected = true }
      note(.info, "following the stream of a region", "")
    }
    if !step.store.isEmpty {
      do {
        try await stream.store.replicate(step.store)
      } catch {
        throw FollowFailure.store(error)
      }
    }
    let stored = stream.store.current.appliedThrough
    stream.bond.withLock { bond in
      bond.freshness.stored(stored)
      guard let leader = step.thenHeard else { return }
      bond.freshness.heard(leader, stored: stored)
      if stored >= leader.position { bond.lastError = "" }
    }
    if let failure = step.thenFail { throw failure }
  }

  /// Takes over the leader's state, and the commands that it knows.
  ///
  /// - Returns: false when that failed.
  private func install(from address: NodeAddress) async -> Bool {
    do {
      let (state, commands) = try await NodeClient.with(address, connection: directory.connection) {
        client in
        try await client.fetchRegionState(of: core.store.catalog, stream.region)
      }
      guard state.appliedThrough > stream.store.current.appliedThrough else {
        throw NodeError(.failedPrecondition, "the leader's state is older than what is here")
      }
      try await stream.store.install(state, commands: commands)
      stream.bond.withLock { bond in
        bond.freshness.forget()
        bond.resets += 1
      }
      note(.notice, "took over the state of a region's stream", "")
      return true
    } catch {
      note(.error, "could not take over the state of a region's stream", "\(error)")
      return false
    }
  }

  /// A session behind a lock: messages come one after the other, by tasks that may differ.
  private final class SessionBox: Sendable {
    private let session: Mutex<LearnerSession>
    init(_ session: LearnerSession) { self.session = Mutex(session) }
    func take(_ message: FollowMessage) -> LearnerSession.Step {
      session.withLock { $0.take(message) }
    }
  }
}
