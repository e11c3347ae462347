import CadastreClient
import CadastreProtocol
import Catalog
import GRPCCore
import Logging
import Replay
import StateMachines

/// Has commands decided by this node's own store.
package struct LeaderSink: CommandSink {
  private let core: NodeCore

  package init(_ core: NodeCore) { self.core = core }

  package func submit(
    _ command: Command, timeout: Duration?, hops: Int
  ) async throws(NodeError) -> CommandReceipt {
    do {
      let receipt = try await core.store.submit(command)
      let wire = CommandReceipt(receipt)
      core.logger.debug(
        "\(command.change.name): \(wire.outcome.rawValue)",
        metadata: command.metadata.merging(
          ["catalog_version": "\(wire.version)", "position": "\(wire.position)"]
        ) { $1 })
      return wire
    } catch {
      let failure = NodeError(error, current: core.store.current.version)
      core.logger.debug(
        "\(command.change.name): refused",
        metadata: command.metadata.merging(
          [
            "catalog_version": "\(core.store.current.version)",
            "refusal": "\(failure.reason ?? "")",
          ]
        ) { $1 })
      throw failure
    }
  }
}

/// Passes commands on to the leader, and its answer, details and all, back. Where the leader cannot be
/// reached from here, the learner that is followed may reach it still: it is the same command there.
package struct ForwardingSink: CommandSink {
  private let upstreams: Upstreams
  private let options: FollowOptions

  package init(to upstreams: Upstreams, options: FollowOptions) {
    self.upstreams = upstreams
    self.options = options
  }

  package func submit(
    _ command: Command, timeout: Duration?, hops: Int
  ) async throws(NodeError) -> CommandReceipt {
    let leader = upstreams.leader
    guard hops < CommandForwarding.maximumHops else {
      throw NodeError(
        .unavailable, reason: "not_leader",
        "the command was passed on \(hops) times and found no leader; this node is a learner of "
          + "\(leader.address)",
        remedy: "send the command to the leader, and look whether learners follow each other"
      ) { $0.leaderAddress = "\(leader.address)" }
    }
    // A little less than the caller waits, so that it hears what happened.
    let deadline = timeout.map { $0 - min($0 / 10, .milliseconds(100)) }
    do {
      return try await leader.client.submit(
        command, deadline: deadline ?? options.forwardTimeout, hops: hops + 1,
        onBehalfOf: Caller.current?.name)
    } catch {
      guard error.isUnreachable else { throw error }
      let upstream = await upstreams.current()
      if !upstream.isLeader {
        return try await upstream.link.client.submit(
          command, deadline: deadline ?? options.forwardTimeout, hops: hops + 1,
          onBehalfOf: Caller.current?.name)
      }
      throw NodeError(
        .unavailable, reason: "leader_unavailable",
        "the leader could not be reached: \(error.message)",
        remedy: "send the command again with the same command id"
      ) { $0.leaderAddress = "\(leader.address)" }
    }
  }
}

extension CommandReceipt {
  package init(_ receipt: Receipt) {
    let outcome: Outcome =
      switch receipt.outcome {
      case .appended: .appended
      case .alreadyDone: .alreadyDone
      case .repeated: .repeated
      }
    self.init(
      command: receipt.command, outcome: outcome, position: receipt.position,
      version: receipt.version, newRoutes: receipt.newRoutes)
  }
}

extension NodeError {
  /// What a caller is told of a command without a receipt.
  ///
  /// `current` is the version of the catalog that refused.
  package init(_ failure: CommandFailure, current: CatalogVersion) {
    switch failure {
    case .refused(let refusal):
      self.init(refusal, current: current)
    case .commandIDReused(_, let position):
      self.init(.alreadyExists, reason: "command_id_reused", failure.description) {
        $0.catalogVersion = current.rawValue
        $0.position = position.rawValue
      }
    case .overloaded:
      self.init(.resourceExhausted, reason: "overloaded", failure.description)
    case .storage(.windowHeldBack):
      self.init(.resourceExhausted, reason: "window_full", failure.description)
    case .storage(.stream(_, .outcomeUnknown)):
      self.init(.unavailable, reason: "outcome_unknown", failure.description)
    case .storage:
      self.init(.unavailable, reason: "storage", failure.description)
    case .notLeader:
      self.init(.unavailable, reason: "not_leader", failure.description)
    case .closed:
      self.init(.unavailable, reason: "shutting_down", failure.description)
    }
  }
}

extension Command {
  /// What a line of the log says of a command: of the route where it is about one.
  fileprivate var metadata: Logger.Metadata {
    var metadata: Logger.Metadata = [
      "command": "\(id)", "actor": "\(actor)", "changes": "\(change.count)",
    ]
    switch change {
    case .bootstrap, .arrange: break
    case .split(let splits):
      if splits.count == 1, let route = splits[0].route { metadata["route_id"] = "\(route)" }
    case .merge(let merges):
      if merges.count == 1 { metadata["route_id"] = "\(merges[0].left)" }
    case .move(let routes, let group):
      if routes.count == 1 { metadata["route_id"] = "\(routes[0])" }
      metadata["group_id"] = "\(group)"
    case .setState(let routes, _), .setAllowedRegions(let routes, _):
      if routes.count == 1 { metadata["route_id"] = "\(routes[0])" }
    case .membership: break
    }
    return metadata
  }
}

extension RouteChange {
  fileprivate var name: String {
    switch self {
    case .bootstrap: "bootstrap"
    case .split: "split"
    case .merge: "merge"
    case .move: "move"
    case .setState: "set state"
    case .setAllowedRegions: "set allowed regions"
    case .arrange: "arrange"
    case .membership: "change of members"
    }
  }
}
