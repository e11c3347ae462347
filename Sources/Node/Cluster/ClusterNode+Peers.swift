import CadastreClient
import Catalog
import GRPCCore
import Logging
import Replay
import StateMachines
import Synchronization

/// From whom a member of a cluster takes what others append.
package enum TailSource: Hashable, Sendable {
  /// The shared stream.
  case stream
  /// The member that leads.
  case leader
  /// Members at these addresses, the first that can be followed.
  case peers([NodeAddress])
}

/// A peer was followed, and is not any more.
struct PeerLost: Error, CustomStringConvertible {
  var peer: String
  var reason: String
  var description: String { "cannot take the stream from \(peer): \(reason)" }
}

extension ClusterNode {
  /// From where to take entries now.
  func source() -> TailChoice.Source {
    let (peers, now) = (peers, core.clock.now().sinceStart)
    return tail.withLock { $0.source(among: peers, at: now) }
  }

  /// The addresses of those who may be followed instead of the stream.
  private var peers: [String] {
    switch options.followFrom {
    case .stream: return []
    case .leader:
      guard let leader, leader.member.name != options.name else { return [] }
      return [leader.member.address]
    case .peers(let addresses):
      let own = ownAddress.withLock { $0 }
      return addresses.map(\.description).filter { $0 != own }
    }
  }

  /// Returns once entries are to be taken from elsewhere, or the node shuts down.
  func untilOther(than source: TailChoice.Source) async {
    await core.leads.withSubscription { subscription in
      while !isOver, self.source() == source {
        let (peers, now) = (peers, core.clock.now())
        let next = tail.withLock { $0.nextTry(among: peers, after: now.sinceStart) }
        switch await subscription.wait(until: next.map { now + ($0 - now.sinceStart) }) {
        case .changed, .due: continue
        case .closed, .cancelled: return
        }
      }
    }
  }

  /// Lets only the stream count from now on, or peers again.
  func setStreamOnly(_ isStreamOnly: Bool) {
    tail.withLock { $0.isStreamOnly = isStreamOnly }
    core.leads.publish()
  }

  /// Follows the log of a peer, and stores of it what the stream vouches for.
  func follow(peer: String) async throws {
    let header = core.store.current.header
    let intake = PeerIntake(core: core, stream: stream, peer: peer)
    do {
      let address = try NodeAddress(peer)
      try await NodeClient.with(address, connection: links.connection) { [core, following] client in
        let questions = Atomic<UInt64>(0)
        try await Node.followStream(of: address, by: core, following) { _ in
          FollowProgress(
            probe: questions.add(1, ordering: .relaxed).newValue,
            stored: core.store.current.appliedThrough)
        } _: { questions, heard in
          try await client.follow(after: header, region: core.region, questions: questions) {
            message in
            heard()
            if try await intake.take(message) { self.tail.withLock { $0.brought(by: peer) } }
          }
        }
      }
    } catch is CancellationError {
      throw CancellationError()
    } catch let failure as PeerIntake.StoreFailure {
      throw FollowFailure.store(failure.error)
    } catch let error as SharedStreamError {
      throw error
    } catch {
      throw PeerLost(peer: peer, reason: "\(error)")
    }
    throw PeerLost(peer: peer, reason: "it ended the stream")
  }

  /// Leaves a peer alone for a while.
  func leave(_ lost: PeerLost) {
    let now = core.clock.now().sinceStart
    tail.withLock { $0.lost(lost.peer, at: now) }
    core.updateLearner { learner in
      learner.lastError = "\(lost)"
      learner.reconnects += 1
    }
    core.logger.warning(
      "taking the stream from elsewhere",
      metadata: [
        "catalog_version": "\(core.store.current.version)", "peer": "\(lost.peer)",
        "error": "\(lost.reason)",
      ])
  }

  /// Takes note of where the stream ended a moment ago; leaves a peer that is behind it.
  func compare(_ end: LogPosition) {
    let (stored, now) = (core.store.current.appliedThrough, core.clock.now().sinceStart)
    guard case .peer(let peer) = source() else { return }
    guard tail.withLock({ $0.isBehind(end, stored: stored, at: now) }) else { return }
    leave(PeerLost(peer: peer, reason: "\(PeerFailure.behind)"))
    core.leads.publish()
  }

  /// Says in the status from where entries are taken.
  func note(_ source: TailChoice.Source) {
    core.updateLearner { learner in
      let way =
        switch source {
        case .stream: [String]()
        case .peer(let peer): [peer]
        }
      if way != learner.upstream.way { learner.upstream.changeCount += 1 }
      learner.upstream.way = way
      learner.upstream.reason = way.isEmpty ? "by way of \(stream.name)" : "as it was told to"
    }
  }
}
