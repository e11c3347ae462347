import CadastreClient
import CadastreProtocol
import Catalog
import Replay
import StateMachines
import Synchronization

/// Takes what a peer sends of a cluster's stream into a member's store, once the stream vouches for it.
/// One for each stream of a peer.
final class PeerIntake: Sendable {
  private struct State {
    var session: LearnerSession
    var vouched = VouchedEntries()
  }

  private let core: NodeCore
  private let stream: any SharedStream
  private let peer: String
  private let state: Mutex<State>

  init(core: NodeCore, stream: any SharedStream, peer: String) {
    (self.core, self.stream, self.peer) = (core, stream, peer)
    state = Mutex(
      State(session: LearnerSession(catalog: core.store.catalog, reading: core.store.reading)))
  }

  /// - Returns: Whether entries were stored.
  /// - Throws: ``PeerFailure`` and `FollowFailure` for what is wrong with the peer, `SharedStreamError` when
  ///   the stream cannot be asked, ``StoreFailure`` when what the stream vouches for is not taken here.
  func take(_ wire: Wire.FollowResponse) async throws -> Bool {
    // A kind of message that a later version knows can be done without.
    guard let message = try FollowMessage(wire) else { return false }
    let step = state.withLock { $0.session.take(message) }
    if case .started = message, step.thenFail == nil {
      core.updateLearner { $0.isConnected = true }
    }
    try state.withLock { state throws(PeerFailure) in try state.vouched.add(step.store) }
    let hasStored = try await storeVouched()
    if let failure = step.thenFail { throw failure }
    return hasStored
  }

  private func storeVouched() async throws -> Bool {
    var hasStored = false
    while true {
      let step = try state.withLock { state throws(PeerFailure) in try state.vouched.next() }
      switch step {
      case .wait: return hasStored
      case .ask:
        let end = try await stream.tail()
        try state.withLock { state throws(PeerFailure) in try state.vouched.heard(end) }
      case .store(let entries):
        try await store(entries)
        hasStored = true
      }
    }
  }

  private func store(_ entries: [EncodedEntry]) async throws(StoreFailure) {
    do {
      try await core.store.replicate(entries)
    } catch {
      throw StoreFailure(error: error)
    }
    core.agree()
    core.freshness.stored(core.store.current.appliedThrough)
    core.updateLearner { learner in
      learner.lastError = ""
      learner.upstream.count(entries, from: peer)
    }
    core.waits.publish()
  }

  /// What is in the stream, and is not taken here.
  struct StoreFailure: Error {
    var error: StoreError
  }
}

extension UpstreamStatus {
  fileprivate mutating func count(_ entries: [EncodedEntry], from peer: String) {
    let index = received.firstIndex { $0.address == peer } ?? received.endIndex
    if index == received.endIndex { received.append(Receipts(address: peer)) }
    received[index].entries += UInt64(entries.count)
    received[index].bytes += entries.reduce(0) { $0 + UInt64($1.bytes.count) }
  }
}
