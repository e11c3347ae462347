import CadastreClient
import Catalog
import Logging
import Replay
import StateMachines

/// Ranks the learners of a region as the catalog's members say, for as long as it runs: who was not
/// told an order follows the one that everybody knows.
struct RelayOrder: Sendable {
  let core: NodeCore
  let upstreams: Upstreams
  let region: Region

  /// Runs until the node shuts down or the task is cancelled.
  func run() async {
    await core.changes.withSubscription { subscription in
      var known: StateDigest?
      while true {
        let membership = core.store.current.membership
        if membership.digest != known {
          known = membership.digest
          rank(Self.learners(of: region, in: membership))
        }
        switch await subscription.wait() {
        case .changed, .due: continue
        case .closed, .cancelled: return
        }
      }
    }
  }

  /// The addresses of the members of a region that have not left, in the order of their names. A leader
  /// among them is passed over by who looks at it.
  static func learners(of region: Region, in membership: Membership) -> [NodeAddress] {
    membership.members.compactMap { member in
      guard member.region == region, member.status != .left else { return nil }
      return try? NodeAddress(member.address)
    }
  }

  private func rank(_ learners: [NodeAddress]) {
    do {
      try upstreams.rank(learners)
    } catch {
      core.logger.warning(
        "the members of this region cannot be followed: following the leader",
        metadata: ["error": "\(error)"])
    }
  }
}
