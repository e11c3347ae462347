import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Logging
import Replay
import StateMachines
import Synchronization

/// Keeps a learner's store in step with its leader: follows, proves and stores each entry, and
/// reconnects for as long as the node runs.
///
/// Nothing is taken over that does not follow from what is there. A whole state is taken over only
/// when the leader says that entries no longer lead to it.
package final class Replica: Sendable {
  private let core: NodeCore
  private let upstreams: Upstreams
  private let options: FollowOptions
  /// Whether the leader took up the last stream.
  private let hasStarted = Atomic(false)

  package init(core: NodeCore, upstreams: Upstreams, options: FollowOptions) {
    self.core = core
    self.upstreams = upstreams
    self.options = options
  }

  /// Follows until the task is cancelled or the node shuts down.
  package func run() async {
    var backoff = Backoff(first: options.firstPause, maximum: options.maximumPause)
    var generator = SystemRandomNumberGenerator()
    while !Task.isCancelled, !core.changes.isClosed {
      let before = core.store.current.appliedThrough
      let upstream = await upstreams.current(after: before)
      let failure: any Error
      do {
        try await follow(upstream)
        failure = NodeError(.unavailable, "the leader ended the stream")
      } catch {
        failure = error
      }
      core.freshness.disconnected()
      if Task.isCancelled || core.changes.isClosed { return }
      if failure is UpstreamChanged {
        core.logger.notice("\(failure)", metadata: ["upstream": "\(upstream.link.address)"])
        continue
      }
      core.updateLearner { $0.isConnected = false }
      if upstreams.lost(upstream, "\(failure)") {
        // Whatever is wrong there, another one may do better, and the leader knows best.
        note(failure, "lost the learner that was followed: going over to another node", upstream)
        core.updateLearner { $0.reconnects += 1 }
        continue
      }
      // A stream that was taken up was a good one; but one that ended by what it brought is not
      // asked for the same again and again without a pause.
      let hasStarted = hasStarted.exchange(false, ordering: .relaxed)
      if core.store.current.appliedThrough > before || hasStarted && failure is NodeError {
        backoff.reset()
      }
      let pause: Duration
      let remedy = Self.remedy(for: failure)
      switch remedy {
      case .reconnect:
        pause = backoff.next(using: &generator)
        note(failure, "lost the leader: reconnecting", upstream, .warning, pause)
      case .installState:
        pause = await install(from: upstream) ? .zero : backoff.next(using: &generator)
      case .halt(let help), .diverged(let help):
        if case .diverged = remedy {
          core.diverge(Divergence(problem: "\(failure)", remedy: help))
        }
        pause = options.haltedPause
        note(
          NodeError(.failedPrecondition, "\(failure) \(help)"), "cannot follow", upstream, .error,
          pause)
      }
      core.updateLearner { $0.reconnects += 1 }
      do { try await Task.sleep(for: pause) } catch { return }
    }
  }

  private func note(
    _ error: any Error, _ message: Logger.Message, _ upstream: Upstreams.Upstream,
    _ level: Logger.Level = .warning, _ pause: Duration = .zero
  ) {
    let description = "\(error)"
    core.updateLearner { $0.lastError = description }
    // Reads that wait for what will not come hear of it.
    core.waits.publish()
    core.logger.log(
      level: level, message,
      metadata: [
        "catalog_version": "\(core.store.current.version)", "leader": "\(upstream.link.address)",
        "error": "\(description)", "pause": "\(pause)",
      ])
  }

  /// What is to be done when following has ended like this.
  static func remedy(for failure: any Error) -> FollowRemedy {
    switch failure {
    case let failure as FollowFailure: failure.remedy
    case let error as NodeError where error.reason == "wrong_catalog":
      .diverged(error.detail?.remedy ?? "")
    default: .reconnect
    }
  }

  /// Follows for as long as the connection holds.
  private func follow(_ upstream: Upstreams.Upstream) async throws {
    if let condition = core.store.condition { throw FollowFailure.logNotWhole(condition) }
    let leader = upstream.link
    let client = leader.client
    let header = core.store.current.header
    try await followStream(of: leader.address, by: core, options) { [core] now in
      FollowProgress(
        probe: core.freshness.probe(at: now), stored: core.store.current.appliedThrough)
    } until: { [upstreams] in
      try await upstreams.untilOther(than: upstream)
    } orSilent: {
      leader.replace(client)
    } _: { [self] questions, heard in
      let intake = ReplicaIntake(core: core)
      try await client.follow(after: header, region: core.region, questions: questions) {
        message in
        heard()
        self.upstreams.count(message, from: upstream)
        if case .started = message.kind { self.hasStarted.store(true, ordering: .relaxed) }
        try await intake.take(message)
      }
    }
  }

  /// Takes over the leader's state.
  ///
  /// - Returns: false when that failed.
  private func install(from upstream: Upstreams.Upstream) async -> Bool {
    do {
      let fetch = CheckpointFetch(
        leader: upstream.link, folder: core.store.folder, options: options, logger: core.logger)
      try await fetch.install(in: core)
      return true
    } catch {
      note(error, "could not take over the leader's state", upstream, .error)
      return false
    }
  }
}
