import CadastreClient
import CadastreProtocol
import Catalog
import Logging
import Replay
import StateMachines
import Synchronization

/// Takes what a leader sends into a learner's store, in order. One for each stream.
final class ReplicaIntake: Sendable {
  private let core: NodeCore
  private let session: Mutex<LearnerSession>

  init(core: NodeCore) {
    self.core = core
    session = Mutex(LearnerSession(catalog: core.store.catalog, reading: core.store.reading))
  }

  /// - Throws: What ended the following; see ``Replica/remedy(for:)``.
  func take(_ wire: Wire.FollowResponse) async throws {
    // A kind of message that a later version knows can be done without.
    guard let message = try FollowMessage(wire) else { return }
    let step = session.withLock { $0.take(message) }
    if case .started(_, let leader) = message, step.thenFail == nil {
      core.updateLearner { $0.isConnected = true }
      core.logger.info(
        "following",
        metadata: [
          "catalog_version": "\(core.store.current.version)",
          "leader_version": "\(leader.version)",
        ])
    }
    try await store(step.store)
    if let leader = step.thenHeard { heard(leader) }
    if let failure = step.thenFail { throw named(failure) }
  }

  /// A failure, with the names of the capabilities that the next entry needs and this node lacks.
  private func named(_ failure: FollowFailure) -> FollowFailure {
    guard case .undecodable(let error) = failure, error.needsNewerReader else { return failure }
    let state = core.store.current
    return .store(
      StoreError(error, at: state.appliedThrough.next, names: state.membership.capabilities))
  }

  private func store(_ entries: [EncodedEntry]) async throws(FollowFailure) {
    guard !entries.isEmpty else { return }
    do {
      try await core.store.replicate(entries)
    } catch {
      throw .store(error)
    }
    core.agree()
    core.freshness.stored(core.store.current.appliedThrough)
    core.waits.publish()
  }

  private func heard(_ leader: FollowMessage.Heartbeat) {
    let stored = core.store.current.appliedThrough
    core.freshness.heard(leader, stored: stored)
    if stored >= leader.position {
      core.updateLearner { $0.lastError = "" }
      core.agree()
    }
    core.waits.publish()
  }
}
