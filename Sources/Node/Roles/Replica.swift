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
  private let leader: NodeClient
  private let options: FollowOptions
  private let lastHeard: Mutex<Moment>

  package init(core: NodeCore, leader: NodeClient, options: FollowOptions) {
    self.core = core
    self.leader = leader
    self.options = options
    lastHeard = Mutex(core.clock.now())
  }

  /// What is to be done when following has ended.
  enum Remedy: Sendable {
    case reconnect
    case installState
    /// Nothing that this node can do: an operator has to look at it.
    case halt(String)
  }

  /// Follows until the task is cancelled or the node shuts down.
  package func run() async {
    var backoff = Backoff(first: options.firstPause, maximum: options.maximumPause)
    var generator = SystemRandomNumberGenerator()
    while !Task.isCancelled, !core.changes.isClosed {
      let before = core.store.current.appliedThrough
      let failure: any Error
      do {
        try await follow()
        failure = NodeError(.unavailable, "the leader ended the stream")
      } catch {
        failure = error
      }
      core.freshness.disconnected()
      if Task.isCancelled || core.changes.isClosed { return }
      core.updateLearner { $0.isConnected = false }
      // A connection that brought something was a good one.
      if core.store.current.appliedThrough > before { backoff.reset() }
      let pause: Duration
      switch Self.remedy(for: failure) {
      case .reconnect:
        pause = backoff.next(using: &generator)
        note(failure, "lost the leader: reconnecting", .warning, pause)
      case .installState:
        pause = await install() ? .zero : backoff.next(using: &generator)
      case .halt(let remedy):
        pause = options.haltedPause
        note(NodeError(.failedPrecondition, "\(failure) \(remedy)"), "cannot follow", .error, pause)
      }
      core.updateLearner { $0.reconnects += 1 }
      do { try await Task.sleep(for: pause) } catch { return }
    }
  }

  private func note(
    _ error: any Error, _ message: Logger.Message, _ level: Logger.Level, _ pause: Duration
  ) {
    let description = "\(error)"
    core.updateLearner { $0.lastError = description }
    core.logger.log(
      level: level, message,
      metadata: [
        "catalog_version": "\(core.store.current.version)", "leader": "\(leader.address)",
        "error": "\(description)", "pause": "\(pause)",
      ])
  }

  static func remedy(for failure: any Error) -> Remedy {
    switch failure {
    case let failure as ResetByLeader:
      switch failure.reason {
      case .trimmed: .installState
      case .diverged, .unspecified, .UNRECOGNIZED:
        .halt(
          "One of the two logs was rewritten. Verify both; rebuild this mirror in an empty folder "
            + "if the leader's is right.")
      }
    case StoreError.unproven(_, let error):
      switch error.recovery {
      case .resume: .reconnect
      case .installState: .installState
      case .halt(let remedy): .halt(remedy)
      }
    case let error as NodeError where error.reason == "wrong_catalog":
      .halt(error.detail?.remedy ?? "")
    case let error as StoreError:
      .halt(error.remedy)
    case is LogCodingError:
      // Damaged on the way, perhaps: the same entry is asked for again.
      .reconnect
    default:
      .reconnect
    }
  }

  /// Follows for as long as the connection holds.
  private func follow() async throws {
    let (questions, ask) = AsyncStream.makeStream(
      of: FollowProgress.self, bufferingPolicy: .bufferingNewest(1))
    lastHeard.withLock { $0 = core.clock.now() }
    let header = core.store.current.header
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer {
        ask.finish()
        group.cancelAll()
      }
      group.addTask { [self] in
        let intake = ReplicaIntake(core: core)
        try await leader.follow(after: header, region: core.region, questions: questions) {
          message in
          self.lastHeard.withLock { $0 = self.core.clock.now() }
          try await intake.take(message)
        }
      }
      group.addTask { [self] in
        while true {
          let now = core.clock.now()
          guard now - lastHeard.withLock({ $0 }) < options.silenceLimit else {
            throw NodeError(
              .unavailable, "nothing was heard of \(leader.address) for \(options.silenceLimit)")
          }
          ask.yield(
            FollowProgress(
              probe: core.freshness.probe(at: now), stored: core.store.current.appliedThrough))
          try await Task.sleep(for: options.probeInterval)
        }
      }
      group.addTask { [self] in
        await core.changes.untilClosed()
        throw CancellationError()
      }
      try await group.next()
    }
  }

  /// Takes over the leader's state.
  ///
  /// - Returns: false when that failed.
  private func install() async -> Bool {
    do {
      let (header, routes) = try await leader.fetchState(of: core.store.catalog)
      guard header.position > core.store.current.appliedThrough else {
        throw NodeError(
          .failedPrecondition,
          "the leader's state at entry \(header.position) is older than what is here")
      }
      let state = try CatalogState(restoring: header, routes: routes)
      try await core.store.install(state)
      core.beginEra()
      core.published()
      core.logger.notice(
        "took over the leader's state: it no longer has the entries in between",
        metadata: ["catalog_version": "\(state.version)", "position": "\(state.appliedThrough)"])
      return true
    } catch {
      note(error, "could not take over the leader's state", .error, .zero)
      return false
    }
  }
}

/// The leader says that entries do not lead from here to where it is.
struct ResetByLeader: Error, CustomStringConvertible {
  let reason: Cadastre_V1_ResetReason
  let firstPosition: LogPosition
  let lastPosition: LogPosition

  var description: String {
    switch reason {
    case .trimmed: "the leader's log begins with entry \(firstPosition)"
    case .diverged:
      "the leader has another history: its entries \(firstPosition) to \(lastPosition) do not lead "
        + "on from the last one here."
    case .unspecified, .UNRECOGNIZED: "the leader asks for a reset of an unknown kind"
    }
  }
}
