import CadastreClient
import Catalog
import GRPCCore
import Logging
import Replay
import StateMachines
import Synchronization

/// What the catalog knows of who leads a region's stream, and what a leader makes of not hearing of the
/// catalog.
extension RegionNode {
  /// How long a claim that the catalog took may take to be known here.
  private static let patience: Duration = .seconds(2)

  // MARK: - Claims

  /// Puts on record that this process leads a stream, and when it stops by itself; once for an epoch,
  /// and where the catalog has claims at all. Known here on return.
  ///
  /// With `replacing` also where another member claims the stream under the same epoch.
  ///
  /// - Throws: ``NodeError``, also when another member leads the stream: nothing may be led then.
  func claim(
    _ stream: RegionStream, epoch: UInt64, replacing: Bool
  ) async throws(NodeError) {
    var attempts = 0
    while true {
      let membership = core.store.current.membership
      guard membership.isEnabled(.regionClaims) else { return }
      let last = membership.claim(stream.region)
      if let last, last.epoch == epoch, last.member == member,
        stream.claimed.withLock({ $0 }) == epoch
      {
        return
      }
      let claim = RegionClaim(
        region: stream.region, epoch: epoch, member: member, number: (last?.number ?? 0) + 1,
        limit: clocks.options.catalogLimit.map { Milliseconds(atLeast: $0) } ?? .zero)
      do throws(NodeError) {
        try await know(try await submit(.claim(claim, replacing: replacing)))
        stream.claimed.withLock { $0 = epoch }
      } catch {
        // Another claim came first: one of this process's own, or one that had been under way.
        guard error.reason == "claim_out_of_order", attempts < 5 else { throw error }
        attempts += 1
        try await pause()
      }
    }
  }

  /// Has a change made in this node's own name, whoever asked for what it takes.
  ///
  /// - Returns: Where it is on record.
  private func submit(_ change: MembershipChange) async throws(NodeError) -> LogPosition {
    let command = Command(
      id: .random(), actor: "member \(member)", reason: "lead the stream of a region",
      change: .membership(change))
    do {
      return try await Caller.$current.withValue(nil) {
        try await sink.submit(command, timeout: Self.patience, hops: 0).position
      }
    } catch {
      throw NodeError(any: error)
    }
  }

  /// Waits until the catalog is known here up to a position.
  private func know(_ position: LogPosition) async throws(NodeError) {
    let start = clock.now()
    while core.store.current.appliedThrough < position {
      guard clock.now() - start < Self.patience else {
        throw NodeError(
          .unavailable, reason: "catalog_unknown",
          "this node does not know yet what the catalog's leader put on record",
          remedy: "wait until it has caught up with the catalog's leader")
      }
      try await pause()
    }
  }

  private func pause() async throws(NodeError) {
    do {
      try await Task.sleep(for: .milliseconds(10))
    } catch {
      throw NodeError(any: error)
    }
  }

  /// The epoch under which another node may lead a stream that is led here on `terms`; nil while none
  /// may.
  func laterEpoch(
    of stream: RegionStream, than terms: RegionLeadTerms, _ membership: Membership
  ) -> UInt64? {
    if let epoch = membership.region(stream.region)?.epoch, epoch > terms.epoch { return epoch }
    // Of those who share a stream each leads at its turn, and the stream itself says whose that is.
    guard !stream.isShared else { return nil }
    if let claim = membership.claim(stream.region), claim.epoch == terms.epoch,
      claim.member != member
    {
      return claim.epoch
    }
    return nil
  }

  // MARK: - The catalog's limit

  /// When this node last knew the newest catalog; nil: it never did.
  func catalogKnown(at now: MonotonicTime) -> MonotonicTime? {
    guard let staleness = core.staleness()?.wholeNanoseconds else { return nil }
    return MonotonicTime(nanoseconds: now.nanoseconds - min(now.nanoseconds, staleness))
  }

  /// That the newest catalog was known here lately enough for this change of a stream; handing over is
  /// allowed always.
  func checkCatalogKnown(for change: RegionChange) throws(NodeError) {
    switch change {
    case .retire: return
    case .lead, .renew, .raise, .depart, .arrive, .begin, .decide, .expire:
      try checkCatalogKnown()
    }
  }

  /// That the newest catalog was known here lately enough to lead regions' streams.
  func checkCatalogKnown() throws(NodeError) {
    guard let limit = clocks.options.catalogLimit else { return }
    let now = clock.monotonic
    let known = catalogKnown(at: now)
    guard !clocks.options.allowsLease(at: now, catalogKnown: known) else { return }
    let ago = known.map { "for \((now - $0).wholeMilliseconds) ms" } ?? "since it started"
    throw NodeError(
      .unavailable, reason: "catalog_unheard",
      "this node has not known the newest catalog \(ago): it leads regions' streams for at most "
        + "\(limit.wholeMilliseconds) ms without, since a mirror may be promoted then",
      remedy: "let it reach the catalog's leader again, or ask who leads the region by then")
  }

  /// Why nothing is led for now; empty while it is.
  package var catalogCondition: String {
    do throws(NodeError) {
      try checkCatalogKnown()
      return ""
    } catch {
      return "\(error)"
    }
  }

  /// Says when a leader begins to stop for want of the catalog, and when it goes on.
  func note(withheld isWithheld: Bool, _ stream: RegionStream, _ withheld: inout Set<Region>) {
    guard isWithheld != withheld.contains(stream.region) else { return }
    if isWithheld {
      withheld.insert(stream.region)
      logger.error(
        "the newest catalog is not known: leading the stream of region \(stream.region) no more for now",
        metadata: ["limit": "\(clocks.options.catalogLimit.map { "\($0)" } ?? "")"])
    } else {
      withheld.remove(stream.region)
      logger.notice(
        "the newest catalog is known again: leading the stream of region \(stream.region)")
    }
  }
}
