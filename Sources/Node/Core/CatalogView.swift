import CadastreClient
import CadastreProtocol
import Catalog
import GRPCCore
import Replay
import StateMachines

/// The state that a read is answered from, and what to say of it.
package struct CatalogView: Sendable {
  package var state: CatalogState
  package var stamp: ReadStamp

  package init(state: CatalogState, stamp: ReadStamp) {
    self.state = state
    self.stamp = stamp
  }
}

extension NodeCore {
  /// The published state, if it meets `demand`. Waits for nobody.
  package func view(meeting demand: ReadDemand) -> CatalogView? {
    // In this order: what is true of the freshness now is true of every state published later.
    let staleness = staleness()
    let current = store.current
    let guarantee = ReadGuarantee(
      version: current.version, staleness: staleness, isDiverged: divergence != nil)
    guard
      guarantee.meets(
        minimumVersion: demand.minimumVersion, maximumStaleness: demand.maximumStaleness)
    else { return nil }
    return CatalogView(state: current, stamp: stamp(current.version, staleness: staleness))
  }

  /// The published state once it meets `demand`, which is waited for until shortly before the
  /// caller stops waiting, at most for ``NodeLimits/patience``.
  ///
  /// - Throws: ``NodeError`` that names the version that the node has.
  package func view(
    meeting demand: ReadDemand, timeout: Duration?
  ) async throws(NodeError) -> CatalogView {
    if let view = view(meeting: demand) { return view }
    let due = clock.now() + limits.wait(within: timeout)
    let found = await waits.withSubscription { subscription -> CatalogView? in
      while true {
        if let view = view(meeting: demand) { return view }
        if hopelessness(of: demand) != nil { return nil }
        switch await subscription.wait(until: due) {
        case .changed: continue
        case .due, .closed, .cancelled: return view(meeting: demand)
        }
      }
    }
    if let found { return found }
    throw hopelessness(of: demand) ?? refusal(of: demand)
  }

  /// Why `demand` is not met however long it is waited for; nil when it may be.
  private func hopelessness(of demand: ReadDemand) -> NodeError? {
    let version = store.current.version
    func refusal(_ reason: String, _ message: String, remedy: String) -> NodeError {
      NodeError(.unavailable, reason: reason, message, remedy: remedy) { detail in
        detail.catalogVersion = version.rawValue
        detail.leaderAddress = leaderAddress
      }
    }
    if demand != .none, let divergence {
      return refusal(
        "diverged", "this node's history is not its leader's: \(divergence.problem)",
        remedy: divergence.remedy)
    }
    if demand.maximumStaleness != nil || version < demand.minimumVersion,
      let condition = store.condition
    {
      return refusal(
        "storage",
        "this node's log is not whole, so it does not know what it lacks: \(condition.problem)",
        remedy: condition.remedy)
    }
    if version < demand.minimumVersion, let poison = store.quarantined {
      let problem = StoreError.poisoned(poison)
      return refusal(
        "quarantined", "this node stopped at version \(version): \(problem.problem)",
        remedy: problem.remedy)
    }
    return nil
  }

  private func refusal(of demand: ReadDemand) -> NodeError {
    let version = store.current.version
    var lacks: [String] = []
    if version < demand.minimumVersion {
      lacks.append("it is at version \(version), version \(demand.minimumVersion) was asked for")
    }
    if let maximum = demand.maximumStaleness {
      switch staleness() {
      case nil:
        lacks.append("it has not caught up with its leader since it started")
      case let staleness? where staleness > maximum:
        lacks.append(
          "it last caught up \(staleness.wholeMilliseconds) ms ago, "
            + "\(maximum.wholeMilliseconds) ms was asked for")
      case .some:
        break
      }
    }
    return behind(lacks, remedy: "ask again, ask another node, or ask for less")
  }

  /// Why there are no routes in `view`: the catalog has none, or this node does not know of them yet.
  package func absence(in view: CatalogView) -> NodeError {
    guard view.stamp.staleness == nil else {
      return NodeError(.notBootstrapped, current: view.state.version)
    }
    return hopelessness(of: ReadDemand(maximumStaleness: .zero))
      ?? behind(
        ["it has not caught up with its leader since it started"],
        remedy: "ask again, or ask another node")
  }

  private func behind(_ lacks: [String], remedy: String) -> NodeError {
    NodeError(
      .unavailable, reason: "behind", "this node is behind: " + lacks.joined(separator: "; "),
      remedy: remedy
    ) { detail in
      detail.catalogVersion = store.current.version.rawValue
      detail.leaderAddress = leaderAddress
    }
  }
}
