import CadastreClient
import Catalog
import GRPCCore
import Replay
import StateMachines
import Synchronization

/// Streams that several nodes share, each leading them at its turn.
extension RegionNode {
  /// Sees to it that a shared stream is never led from here again once its region was lost. What an entry
  /// that was on its way may have begun since the last lead ends with its lease, which is on record.
  func standBy(_ stream: RegionStream, _ membership: Membership) {
    if let terms = stream.store.terms, let epoch = laterEpoch(of: stream, than: terms, membership) {
      fence(stream, epoch: epoch)
    }
  }

  /// Leads all groups of a shared stream whose lead was won. The stream says who led them before: whoever
  /// that was, under this name too, its leases are waited for.
  func takeUp(shared led: Led) async throws(NodeError) {
    var start = MonotonicTime.zero
    let groups = led.store.current.ceilings.groupsHere
    if !groups.isEmpty {
      let receipt = try await lead(groups, in: led, predecessorsEnded: false)
      for case .groupsLed(_, let term) in receipt.events where term.wait > .zero {
        start = max(start, clock.monotonic + (term.wait.duration + clocks.options.driftAllowance))
      }
    }
    led.stream.decidesFrom.withLock { $0 = start }
  }

  /// That a shared stream is led from here, and that nobody who led it before issues timestamps any more:
  /// a commit would not be known to those clocks.
  func checkDecides(_ stream: RegionStream) throws(NodeError) {
    guard stream.leader != nil else { throw notLed(stream.region) }
    guard clock.monotonic >= stream.decidesFrom.withLock({ $0 }) else {
      throw NodeError(
        .unavailable, reason: "leader_waiting",
        "the stream of region \(stream.region) is led from here, and the leases of its leader before have "
          + "not run out yet", remedy: "ask again in a moment, with the same command id")
    }
  }

  /// That a term of a shared stream is led still: what is here is the newest state then.
  func confirm(_ term: ClusterTerm?, of led: Led) async throws(NodeError) {
    guard led.stream.isShared else { return }
    if let term, let shared = led.store.sharedLog?.lead?.stream,
      let leader = try? await shared.leader(), leader.term == term
    {
      return
    }
    throw NodeError(
      .unavailable, reason: "not_leader",
      "this node led the stream of region \(led.stream.region), and may not any more",
      remedy: "ask again, with the same command id")
  }

  /// That the region was lost since its shared stream is led.
  func fenced(_ region: Region, epoch: UInt64) -> NodeError {
    NodeError(
      .failedPrecondition, reason: "region_fenced",
      "region \(region) was lost, in epoch \(epoch), since its shared stream is led: a mirror of it may "
        + "have been promoted",
      remedy: "if one was, remove the folder regions/\(region) here and start with --mirror-region "
        + "\(region); if none was, \(Self.mirrorRemedy(region))")
  }

  /// How a stream goes on that cannot be shared any more.
  static func mirrorRemedy(_ region: Region) -> String {
    "stop all that share the stream, start the one with the most entries with --mirror-region "
      + "\(region), and promote it: cadastre region promote \(region) --leader-stopped"
  }
}
