import CadastreClient
import Catalog
import GRPCCore
import Logging
import Replay
import StateMachines

/// Leading a stream whose leader is gone.
extension RegionNode {
  /// What a promotion did.
  package struct Promotion: Sendable {
    package var terms: RegionLeadTerms
    package var position: LogPosition
    /// The groups that are led now, and how long they wait for the lease of the leader before.
    package var groups: GroupSet
    package var wait: Milliseconds
  }

  /// Leads from here a stream that another node led, or that was fenced here: in a new term of every
  /// group, above all that the leader before can have issued, also in entries that never came here.
  ///
  /// That leader raised ceilings by a window above its wall clock at most, which is no further from
  /// this one's than the accepted skew: what is led from here begins above both, known group or not.
  /// A lease that is on record is waited for besides. That the leader has stopped is certain where it
  /// claimed a limit without the catalog, and that has passed since this node heard of the region's loss;
  /// else it is the caller's word. Run again, it goes on where it was.
  package func promote(
    _ region: Region, leaderStopped: Bool
  ) async throws(NodeError) -> Promotion {
    guard let stream = streams[region] else {
      throw NodeError(
        .failedPrecondition, reason: "no_region_stream",
        "this node has no stream of region \(region)",
        remedy: "ask a node that was started with --mirror-region \(region)")
    }
    guard !stream.isShared else {
      throw NodeError(
        .failedPrecondition, reason: "region_shared",
        "the stream of region \(region) is shared (--region-log): whoever holds its lease leads it",
        remedy: "promote a mirror of it, where the region is lost")
    }
    try checkEnabled()
    guard core.staleness() != nil else {
      throw NodeError(
        .unavailable, reason: "catalog_unknown", "this node does not know the newest catalog yet",
        remedy: "wait until it has caught up with the catalog's leader")
    }
    let membership = core.store.current.membership
    let record = membership.region(region)
    let terms: RegionLeadTerms
    let leader: RegionLeader
    if let current = stream.leader, let known = stream.store.terms {
      (leader, terms) = (current, known)
    } else {
      if !leaderStopped { try checkEnded(stream, membership) }
      if stream.isMirror, let record, !record.status.isFenced {
        throw NodeError(
          .failedPrecondition, reason: "region_not_lost",
          "region \(region) is \(record.status): its leader's folder could lead again",
          remedy: "cadastre members declare-lost --region \(region) first, which fences it")
      }
      try await claim(stream, epoch: record?.epoch ?? 0, replacing: leaderStopped)
      let ahead = (clocks.options.window + clocks.options.maximumSkew).wholeMilliseconds
      terms = RegionLeadTerms(
        epoch: record?.epoch ?? 0,
        floor: HybridTimestamp(
          milliseconds: min(wallMilliseconds + ahead, HybridTimestamp.maximumMilliseconds)))
      do {
        try await stream.store.lead(on: terms)
      } catch {
        throw NodeError(RegionFailure.storage(error))
      }
      leader = RegionLeader(clocks, of: region, at: clock.monotonic)
      stream.lead(leader)
      directory.forget(region)
      logger.notice(
        "promoted the mirror of the stream of region \(region)",
        metadata: ["epoch": "\(terms.epoch)", "floor": "\(terms.floor)"])
    }
    let led = Led(stream: stream, leader: leader)
    var position = stream.store.current.appliedThrough
    var others = stream.store.current.ceilings.groupsHere
    for part in clocks.led(in: region) { others = others.subtracting(part.groups) }
    var wait = Milliseconds.zero
    if !others.isEmpty {
      let receipt = try await lead(others, in: led, predecessorsEnded: false)
      position = receipt.position
      for case .groupsLed(_, let term) in receipt.events { wait = term.wait }
    }
    return Promotion(terms: terms, position: position, groups: others, wait: wait)
  }

  /// That the leader of a stream has stopped by itself: it claimed a limit, and did not know the newest
  /// catalog any more when the region was lost.
  private func checkEnded(
    _ stream: RegionStream, _ membership: Membership
  ) throws(NodeError) {
    let region = stream.region
    let epoch = membership.region(region)?.epoch ?? 0
    let now = clock.monotonic
    let since = stream.noteEpoch(epoch, at: now)
    guard let claim = membership.claim(region), claim.limit > .zero else {
      throw NodeError(
        .failedPrecondition, reason: "leader_may_run",
        "a leader that is only cut off goes on issuing timestamps, which this node would issue again, "
          + "and nothing is on record of when it stops by itself (--catalog-limit)",
        remedy:
          "make sure that it has stopped and is not started again from its folder, then say so "
          + "with --leader-stopped")
    }
    // What was claimed under this epoch is for the catalog to tell: there one claim stands.
    guard claim.epoch < epoch else { return }
    let end = since + clocks.options.wait(for: claim.limit)
    guard now >= end else {
      let left = (end - now).wholeMilliseconds + 1
      throw NodeError(
        .failedPrecondition, reason: "leader_may_run",
        "\(claim.member) may lead region \(region) for another \(left) ms: it stops once it did not know "
          + "the newest catalog for \(claim.limit) ms, and this node heard that the region was lost "
          + "\((now - since).wholeMilliseconds) ms ago",
        remedy:
          "ask again in \(left) ms; or, if it has stopped for certain and is not started again from "
          + "its folder, say so with --leader-stopped")
    }
  }
}
