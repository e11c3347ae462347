import CadastreProtocol
import Catalog
import Foundation
import SwiftProtobuf

/// What a node is.
package enum NodeRole: String, Sendable {
  /// Decides commands and appends to the log.
  case leader
  /// Follows a leader's log, serves reads and forwards commands.
  case learner
}

/// What a node is, and how far it has come.
package struct NodeStatus: Sendable {
  package var role: NodeRole
  /// Empty where none was given.
  package var region: String
  package var catalog: CatalogID
  package var stamp: ReadStamp
  /// The last entry, and the first that the log still holds.
  package var position: LogPosition
  package var firstPosition: LogPosition
  package var headHash: EntryHash
  package var digest: StateDigest
  package var lastTime: HybridTimestamp
  package var routeCount: UInt64
  /// The versions that listings and watches can still be served from.
  package var oldestVersion: CatalogVersion
  package var newestVersion: CatalogVersion
  package var uptime: Duration
  package var leaderAddress: String
  /// nil at a leader.
  package var learner: LearnerStatus?
  /// nil where the node is in no cluster.
  package var cluster: ClusterStatus?
  /// Why the node's store takes no more writes; empty while it does.
  package var condition: String
  /// What is wrong beside the log: checkpoints that are damaged, or cannot be made.
  package var warnings: [String] = []

  package var version: CatalogVersion { stamp.version }

  package init(
    role: NodeRole, region: String, catalog: CatalogID, stamp: ReadStamp, position: LogPosition,
    firstPosition: LogPosition, headHash: EntryHash, digest: StateDigest,
    lastTime: HybridTimestamp, routeCount: UInt64, oldestVersion: CatalogVersion,
    newestVersion: CatalogVersion, uptime: Duration, leaderAddress: String,
    learner: LearnerStatus?, cluster: ClusterStatus? = nil, condition: String,
    warnings: [String] = []
  ) {
    self.role = role
    self.region = region
    self.catalog = catalog
    self.stamp = stamp
    self.position = position
    self.firstPosition = firstPosition
    self.headHash = headHash
    self.digest = digest
    self.lastTime = lastTime
    self.routeCount = routeCount
    self.oldestVersion = oldestVersion
    self.newestVersion = newestVersion
    self.uptime = uptime
    self.leaderAddress = leaderAddress
    self.learner = learner
    self.cluster = cluster
    self.condition = condition
    self.warnings = warnings
  }
}

/// A learner's bond to its leader.
package struct LearnerStatus: Hashable, Sendable {
  /// Whether it is following right now.
  package var isConnected = false
  package var leaderPosition = LogPosition.zero
  package var leaderVersion = CatalogVersion.zero
  /// How many entries it lacks of what it last heard of.
  package var lag: UInt64 = 0
  /// Since the start.
  package var resets: UInt64 = 0
  package var reconnects: UInt64 = 0
  /// What went wrong last; empty after it caught up again.
  package var lastError = ""
  package var upstream = UpstreamStatus()

  package init() {}
}

/// The part that a node plays in its cluster.
package struct ClusterStatus: Hashable, Sendable {
  /// The stream that the members share.
  package var stream: String
  /// The node's name in the cluster.
  package var member: String
  /// Who leads, and in which term; nil while nobody is known to.
  package var leader: String?
  package var term: UInt64 = 0
  /// At the leader: who keeps entries in the stream that the others have stored, and how many.
  package var heldBackBy: [String] = []
  package var lag: UInt64 = 0

  package init(stream: String, member: String) {
    self.stream = stream
    self.member = member
  }
}

extension Cadastre_V1_GetStatusResponse {
  package init(_ status: NodeStatus) {
    self.init()
    role =
      switch status.role {
      case .leader: .leader
      case .learner: .learner
      }
    region = status.region
    catalogID = Data(status.catalog.bytes)
    stamp = Wire.ReadStamp(status.stamp)
    position = status.position.rawValue
    firstPosition = status.firstPosition.rawValue
    headHash = Data(status.headHash.bytes)
    digest = Data(status.digest.bytes)
    lastTime = status.lastTime.rawValue
    routeCount = status.routeCount
    oldestVersion = status.oldestVersion.rawValue
    newestVersion = status.newestVersion.rawValue
    uptimeMs = status.uptime.wholeMilliseconds
    leaderAddress = status.leaderAddress
    condition = status.condition
    warnings = status.warnings
    if let status = status.learner {
      learner = .with {
        $0.connected = status.isConnected
        $0.leaderPosition = status.leaderPosition.rawValue
        $0.leaderVersion = status.leaderVersion.rawValue
        $0.lag = status.lag
        $0.resets = status.resets
        $0.reconnects = status.reconnects
        $0.lastError = status.lastError
        $0.fill(status.upstream)
      }
    }
    if let status = status.cluster {
      cluster = .with {
        $0.stream = status.stream
        $0.member = status.member
        $0.leader = status.leader ?? ""
        $0.term = status.term
        $0.heldBackBy = status.heldBackBy
        $0.lag = status.lag
      }
    }
  }

  /// - Throws: ``MalformedMessage`` when an id, a hash or a digest has the wrong length.
  package func value() throws(MalformedMessage) -> NodeStatus {
    var bond: LearnerStatus?
    if hasLearner {
      var status = LearnerStatus()
      status.isConnected = learner.connected
      status.leaderPosition = LogPosition(learner.leaderPosition)
      status.leaderVersion = CatalogVersion(learner.leaderVersion)
      status.lag = learner.lag
      status.resets = learner.resets
      status.reconnects = learner.reconnects
      status.lastError = learner.lastError
      status.upstream = learner.upstreamStatus
      bond = status
    }
    var part: ClusterStatus?
    if hasCluster {
      var status = ClusterStatus(stream: cluster.stream, member: cluster.member)
      status.leader = cluster.leader.isEmpty ? nil : cluster.leader
      status.term = cluster.term
      status.heldBackBy = cluster.heldBackBy
      status.lag = cluster.lag
      part = status
    }
    return NodeStatus(
      role: role == .leader ? .leader : .learner, region: region,
      catalog: try fixed("catalog_id", catalogID), stamp: stamp.value,
      position: LogPosition(position), firstPosition: LogPosition(firstPosition),
      headHash: try fixed("head_hash", headHash), digest: try fixed("digest", digest),
      lastTime: HybridTimestamp(lastTime), routeCount: routeCount,
      oldestVersion: CatalogVersion(oldestVersion), newestVersion: CatalogVersion(newestVersion),
      uptime: Duration(boundedMilliseconds: uptimeMs), leaderAddress: leaderAddress, learner: bond,
      cluster: part, condition: condition, warnings: warnings)
  }
}
