import CadastreClient
import Catalog
import GRPCCore
import Logging
import Replay
import StateMachines

/// What a node is told when it starts.
package struct NodeConfiguration: Sendable {
  /// What part the node plays.
  package enum Role: Sendable {
    case leader
    /// Follows the node at this address.
    case learner(of: NodeAddress)
    /// Shares the log with others, of whom one leads at a time.
    case member(of: ClusterOptions)
  }

  package var role: Role
  /// The folder of the node's own log. A learner's is made where there is none.
  package var folder: String
  /// Where to listen; port 0 takes any free one.
  package var listen: NodeAddress
  /// Listen elsewhere than on this machine's loopback, though nothing is encrypted.
  package var allowInsecureBind = false
  /// Where metrics are served over HTTP; nil: nowhere. Port 0 takes any free one.
  package var metrics: NodeAddress?
  /// How the node proves to callers who it is, and what it asks of them.
  package var security = ServerSecurity()
  /// How much of the node callers may take.
  package var connectionLimits = ConnectionLimits()
  package var region: Region?
  /// The regions whose streams the node leads.
  package var ledRegions: [Region] = []
  /// The regions whose streams the node mirrors, or leads once a mirror was promoted.
  package var mirroredRegions: [MirroredRegion] = []
  /// The name under which it leads; the same from one start to the next.
  package var leaderName: MemberName?
  package var clocks = ClockOptions()
  package var regionStore = RegionOptions()
  /// Where the streams of ``ledRegions`` are shared with others that lead them in turn; nil: they are this
  /// node's alone.
  package var regionLog: RegionPlacement?
  /// Where others reach the node; what it listens on when nil.
  package var advertisedAddress: NodeAddress?
  /// The learners of the region in their order, this one among them by its advertised address: a
  /// learner follows the first of those before it that follows the leader. None: those that are
  /// members of the region, in the order of their names; for a learner that is no member, the leader.
  package var regionLearners: [NodeAddress] = []
  /// The name of the network profile that was applied.
  package var networkProfile = NetworkProfile.local.name
  package var connection = ConnectionOptions()
  /// A file that gets the address that is listened on, once it is.
  package var addressFile: String?
  package var limits = NodeLimits()
  package var store = StoreOptions()
  package var following = FollowOptions()
  /// What of the past is kept; nil: all of it.
  package var retention: RetentionPolicy?
  /// How often it is looked whether there is something to trim.
  package var retentionInterval: Duration = .seconds(600)
  /// As which member the node takes part; nil: as none.
  package var member: MemberOptions?
  /// How long calls may take to end when the node shuts down.
  package var gracePeriod: Duration = .seconds(10)
  /// Told the address that is listened on, once it is.
  package var onListening: @Sendable (NodeAddress) -> Void = { _ in }
  /// Told where metrics are served, before ``onListening``.
  package var onMetricsListening: @Sendable (NodeAddress) -> Void = { _ in }

  /// Called when the node is asked to read its files again, beside reading those of its security; logs
  /// what it finds. Blocks.
  package var onReload: @Sendable (Logger) -> Void = { _ in }

  package init(role: Role, folder: String, listen: NodeAddress) {
    self.role = role
    self.folder = folder
    self.listen = listen
  }

  /// - Throws: ``NodeError`` when the node must not start like this.
  package func check() throws(NodeError) {
    guard allowInsecureBind || listen.isLoopback || security.isEncrypted else {
      throw NodeError(
        .invalidArgument, reason: "insecure_bind",
        "\(listen) can be reached from other machines, and nothing is encrypted or authenticated: "
          + "listen on 127.0.0.1, encrypt with --tls-cert and --tls-key, or allow it in so many "
          + "words with --allow-insecure-bind")
    }
    if let metrics, !allowInsecureBind, !metrics.isLoopback {
      throw NodeError(
        .invalidArgument, reason: "insecure_bind",
        "\(metrics), for metrics, can be reached from other machines, and nothing is encrypted or "
          + "authenticated: serve metrics on 127.0.0.1, or allow it in so many words with "
          + "--allow-insecure-bind")
    }
    if let problem = security.problem(listeningOn: listen) { throw problem }
    guard !regionLearners.isEmpty else { return }
    guard case .learner = role else {
      throw NodeError(
        .invalidArgument, reason: "relay_of_leader",
        "a leader follows nobody: name the learners of a region to its learners, with --follow")
    }
    guard regionLearners.contains(knownAddress) else {
      let learners = regionLearners.map(\.description).joined(separator: ", ")
      throw NodeError(
        .invalidArgument, reason: "relay_without_self",
        "\(knownAddress) is not among the learners of its region, \(learners): name it there as "
          + "others know it, or say with --advertise how they do")
    }
  }

  /// The address that others know the node by, as far as it is known before it listens.
  package var knownAddress: NodeAddress { advertisedAddress ?? listen }
}

/// How a node takes part in a cluster.
package struct ClusterOptions: Sendable {
  package var stream: any SharedStream
  /// The node's name among the members; another one for each of them.
  package var name: MemberName
  package var window = WindowPolicy()
  package var breaker = CircuitBreaker.Options()
  /// How often the node says how far it has stored the stream, and how long that counts.
  package var reportInterval: Duration = .seconds(1)
  package var reportLifetime: Duration = .seconds(15)
  /// How long one that won the lead may take to store what it lacks, before it gives it back.
  package var takeOverLimit: Duration = .seconds(10)
  /// How long commands may take that are under way when the node gives its lead back.
  package var drainLimit: Duration = .seconds(5)
  /// How many entries one may lack at most that the lead is handed over to.
  package var handOverLag: UInt64 = 1_000
  /// From whom the node takes what others append, while it can, and when it cannot.
  package var followFrom = TailSource.stream
  package var tail = TailChoice.Options()

  package init(stream: any SharedStream, name: MemberName) {
    self.stream = stream
    self.name = name
  }
}

/// A region whose stream a node mirrors.
package struct MirroredRegion: Hashable, Sendable {
  package var region: Region
  /// Where the stream's leader is; nil: it is found among the members of the catalog.
  package var leader: NodeAddress?

  package init(_ region: Region, leader: NodeAddress? = nil) {
    self.region = region
    self.leader = leader
  }
}

/// How a learner follows.
package struct FollowOptions: Sendable {
  /// How often it asks its leader how far that is.
  package var probeInterval: Duration = .milliseconds(500)
  /// It reconnects when it hears nothing for so long.
  package var silenceLimit: Duration = .seconds(10)
  /// The pause before the first try to reconnect; each pause is half as long again as the one
  /// before, up to ``maximumPause``, and shortened at random by up to half.
  package var firstPause: Duration = .milliseconds(50)
  package var maximumPause: Duration = .seconds(5)
  /// The pause after something that an operator has to mend.
  package var haltedPause: Duration = .seconds(10)
  /// How long the leader may take for a command that is passed on without a deadline.
  package var forwardTimeout: Duration = .seconds(30)
  /// How often the learners that may be followed are looked at, and how long one may take to answer.
  package var lookInterval: Duration = .seconds(1)
  package var lookTimeout: Duration = .seconds(3)
  /// Whom of them to follow.
  package var upstream = UpstreamChoice.Options()

  package init() {}
}
