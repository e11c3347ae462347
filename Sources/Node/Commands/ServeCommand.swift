import ArgumentParser
import CadastreClient
import Catalog
import Logging
import Replay
import StateMachines
import Synchronization

struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Serve a catalog: as its leader, or with --follow as a learner.",
    discussion: """
      A leader decides commands and writes the log in its folder. A learner follows a leader's \
      log, proves every entry, keeps a log of its own, serves reads and forwards commands; its \
      folder is made where there is none. Ends in good order at Ctrl-C or SIGTERM; at \
      SIGHUP it reads certificates, tokens and settings again at once.

      Examples:
        cadastre serve --log ./catalog --region eu-central --listen 127.0.0.1:4711
        cadastre serve --log ./mirror --region us-east --follow 127.0.0.1:4711
        cadastre serve --log ./catalog --metrics 127.0.0.1:9470
        cadastre serve --log ./catalog --listen 0.0.0.0:4711 --tls-cert node.pem --tls-key node.key \
          --tokens ./tokens

      Nodes that share a log through etcd elect their leader: --log etcd://HOST:PORT,HOST:PORT/CLUSTER, \
      with a name (--member), and a --folder for the node's own log. The first of them has the folder \
      that `cadastre init` made; those of the others are made.

      Several learners of a region are told of each other with --relay, all in the same order: the \
      first of them that is up follows the leader and feeds the others, so that each entry crosses \
      the WAN once. Without --relay, learners that are members of a region (--member) follow the \
      order of the members' names; for that they listen at a fixed port, or --advertise one. \
      --wan sets what fits 100 to 300 ms of round trip and a lost packet in a hundred:
        \(NetworkProfile.wan).

      Every flag but --promote and --json may stand in a file too (--config FILE), or in the \
      environment: --keep-log 30d is \
      "keep-log": "30d" in the file and CADASTRE_KEEP_LOG=30d. A flag wins over a variable, that \
      over the file. `cadastre config` checks a file, and shows what counts.
      """)

  // Read before the arguments are parsed: its settings become arguments.
  @Option(
    help: ArgumentHelp(
      "A file of settings. Default: $CADASTRE_CONFIG.",
      discussion: "JSON, with comments; see `cadastre config example`.", valueName: "file"),
    transform: parsePath)
  var config: String?

  @OptionGroup var folder: FolderOptions

  @OptionGroup(title: "Cluster (nodes that share a log)")
  var cluster: ClusterCommandOptions

  @Option(
    help: ArgumentHelp("The region that the node is in.", valueName: "name"), transform: parseRegion
  )
  var region: Region?

  @Option(
    help: ArgumentHelp(
      "Where to listen; port 0 takes a free one. Default: 127.0.0.1:0.", valueName: "host:port"),
    transform: parseAddress)
  var listen: NodeAddress?

  @Option(
    help: ArgumentHelp(
      "Follow the leader there, instead of being one.", valueName: "host:port"),
    transform: parseAddress)
  var follow: NodeAddress?

  @Option(
    help: ArgumentHelp(
      "With --follow: the learners of the region, this one among them, in the order in which they "
        + "are to be followed.", valueName: "host:port,..."),
    transform: parseAddresses)
  var relay: [NodeAddress] = []

  @Flag(
    inversion: .prefixedNo,
    help: "Set timeouts, intervals and sizes for a wide area network.")
  var wan = false

  @Option(
    help: ArgumentHelp(
      "How often to ask the leader how far it is. Default: 500ms, with --wan 1s.",
      valueName: "duration"), transform: parseDuration)
  var probeEvery: Duration?

  @Option(
    help: ArgumentHelp(
      "Reconnect to a leader that says nothing for so long. Default: 10s, with --wan 20s.",
      valueName: "duration"), transform: parseDuration)
  var silenceLimit: Duration?

  @Option(
    help: ArgumentHelp(
      "Follow no learner whose entries may be older. Default: 5s, with --wan 10s.",
      valueName: "duration"), transform: parseDuration)
  var relayStaleness: Duration?

  @Option(
    help: ArgumentHelp(
      "How long a learner that was lost must be well before it is followed again. Default: 5s, with "
        + "--wan 15s.", valueName: "duration"), transform: parseDuration)
  var relaySettle: Duration?

  @Flag(help: "Lead the catalog from the folder of a learner; its leader must never write again.")
  var promote = false

  @Option(
    help: ArgumentHelp(
      "Where others reach the node, if not where it listens.", valueName: "host:port"),
    transform: parseAddress)
  var advertise: NodeAddress?

  @Option(
    help: ArgumentHelp(
      "Write the address that is listened on to this file, once it is.", valueName: "file"),
    transform: parsePath)
  var addressFile: String?

  @Option(
    help: ArgumentHelp(
      "Serve metrics for Prometheus there, at http://HOST:PORT/metrics. Default: nowhere.",
      valueName: "host:port"),
    transform: parseAddress)
  var metrics: NodeAddress?

  @Flag(
    inversion: .prefixedNo,
    help: "Listen where other machines reach it, though nothing is encrypted or authenticated.")
  var allowInsecureBind = false

  @OptionGroup(title: "Security (of those who call the node)")
  var serverSecurity: ServerSecurityOptions

  @OptionGroup(title: "Security (where the node calls others)")
  var linkSecurity: ConnectionSecurityOptions

  @OptionGroup(title: "Limits") var connectionLimits: ConnectionLimitOptions

  @OptionGroup(title: "Clocks (of the regions whose streams the node leads)")
  var clocks: ClockCommandOptions

  @Option(
    help: ArgumentHelp("How many versions to keep at hand for watchers.", valueName: "n"))
  var history = CatalogHistory.defaultCapacity

  @Option(
    help: ArgumentHelp(
      "How long a read waits at most for what it demands. Default: 2s.", valueName: "duration"),
    transform: parseDuration)
  var patience: Duration?

  @OptionGroup(title: "Checkpoints (whichever comes first)")
  var checkpoints: CheckpointOptions

  @OptionGroup(title: "Retention (all is kept unless one of these is given)")
  var retention: RetentionOptions

  @Option(
    help: ArgumentHelp(
      "How often to look for what is no longer to be kept. Default: 10m.", valueName: "duration"),
    transform: parseDuration)
  var trimEvery: Duration?

  @Option(
    help: ArgumentHelp(
      "The node's name, always the same: the member that it takes part as, of the region that "
        + "--region names, and who leads groups.",
      discussion:
        "Joins by itself once cap_members_v1 is enabled, and judges other regions. Groups are led by "
        + "the name of the region, or \"node\", where there is none.",
      valueName: "name"),
    transform: parseMember)
  var member: MemberName?

  @Option(
    help: ArgumentHelp(
      "A region is silent when no member of it answers for so long. Default: 10s.",
      valueName: "duration"),
    transform: parseDuration)
  var membershipTimeout: Duration?

  @Option(
    help: ArgumentHelp(
      "Log from this level: trace, debug, info, notice, warning, error, critical.",
      valueName: "level"),
    transform: parseLogLevel)
  var logLevel = Logger.Level.info

  @OptionGroup var output: OutputOptions

  func validate() throws {
    if try cluster.access(try folder.folder()) != nil {
      if follow != nil {
        throw ValidationError("members of a cluster elect their leader: give no --follow")
      }
      if cluster.folder == nil {
        throw ValidationError("a member keeps a log of its own: give --folder DIR")
      }
      if member == nil {
        throw ValidationError("members of a cluster have names: give --member NAME")
      }
    }
    if promote, follow != nil {
      throw ValidationError("--promote makes a leader, and --follow a learner: give one of them")
    }
    if !relay.isEmpty, follow == nil {
      throw ValidationError("--relay names the learners of a region: give it with --follow")
    }
    if clocks.regionLog != nil {
      if clocks.leadRegion.isEmpty {
        throw ValidationError("--region-log is for the streams of --lead-region: give both")
      }
      if member == nil {
        throw ValidationError("those who share a region's stream have names: give --member NAME")
      }
    }
    if let problem = clocks.options.problem { throw ValidationError(problem) }
    if member != nil, region == nil {
      throw ValidationError("a member is in a region: give --region with --member")
    }
    if !(2...1_000_000).contains(history) {
      throw ValidationError("--history must be from 2 to 1,000,000")
    }
  }

  /// What the node is told, but for where to announce itself.
  func nodeConfiguration() throws -> NodeConfiguration {
    let log = try folder.folder()
    var role = follow.map { NodeConfiguration.Role.learner(of: $0) } ?? .leader
    if let access = try cluster.access(log), let member {
      var options = ClusterOptions(stream: try openStream(access), name: member)
      if let source = cluster.followFrom { options.followFrom = source }
      role = .member(of: options)
    } else if let flag = cluster.firstGiven(withRegionLog: clocks.regionLog != nil) {
      throw ValidationError("\(flag) is for a cluster: give it with --log etcd://…")
    }
    var configuration = NodeConfiguration(
      role: role, folder: cluster.folder ?? log,
      listen: listen ?? NodeAddress(host: "127.0.0.1", port: 0))
    if wan { configuration.apply(.wan) }
    if let probeEvery { configuration.following.probeInterval = max(probeEvery, .milliseconds(10)) }
    if let silenceLimit {
      configuration.following.silenceLimit = max(silenceLimit, .milliseconds(100))
    }
    if let relayStaleness { configuration.following.upstream.stalenessLimit = relayStaleness }
    if let relaySettle { configuration.following.upstream.settleTime = relaySettle }
    configuration.regionLearners = relay
    configuration.metrics = metrics
    configuration.allowInsecureBind = allowInsecureBind
    configuration.security = serverSecurity.security
    configuration.connection.security = try linkSecurity.security()
    configuration.connectionLimits = connectionLimits.limits
    configuration.connectionLimits.connections = min(
      configuration.connectionLimits.connections, ConnectionLimits.raiseDescriptorLimit())
    configuration.region = region
    configuration.advertisedAddress = advertise
    if let member, let region {
      var options = MemberOptions(name: member, region: region)
      if let membershipTimeout { options.timeout = membershipTimeout }
      configuration.member = options
    }
    configuration.addressFile = addressFile
    configuration.store.historyCapacity = history
    configuration.store.promotesMirror = promote
    configuration.store.checkpoints = checkpoints.policy
    if retention.isGiven { configuration.retention = retention.policy }
    if let trimEvery { configuration.retentionInterval = max(trimEvery, .milliseconds(100)) }
    configuration.ledRegions = clocks.leadRegion
    configuration.mirroredRegions = clocks.mirrorRegion
    configuration.leaderName = member
    configuration.clocks = clocks.options
    if let url = clocks.regionLog {
      guard clocks.catalogLimit == nil else {
        throw ValidationError(
          "--catalog-limit is for streams that one node leads: give no --region-log with it")
      }
      configuration.regionLog = try placement(on: cluster.etcd.access(url))
    }
    if let patience { configuration.limits.patience = patience }
    return configuration
  }

  func run() async throws {
    var configuration = try nodeConfiguration()
    let role =
      switch configuration.role {
      case .leader: "leader"
      case .learner: "learner"
      case .member: "member"
      }
    let announcement = Announcement(
      role: role, region: region, output: output)
    let metricsAddress = Mutex<NodeAddress?>(nil)
    configuration.onMetricsListening = { address in metricsAddress.withLock { $0 = address } }
    configuration.onListening = { announcement.write($0, metrics: metricsAddress.withLock { $0 }) }
    var logger = Logger(label: "cadastre") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = logLevel
    let settings = SettingsInForce()
    configuration.onReload = { settings.compare(logger: $0) }
    try await NodeService.runUntilSignalled(configuration, logger: logger)
  }

  /// The first line of standard output: that the node serves, and where.
  private struct Announcement: Sendable {
    var role: String
    var region: Region?
    var output: OutputOptions

    func write(_ address: NodeAddress, metrics: NodeAddress?) {
      output.write(
        [
          "listening": .string(address.description), "role": .string(role),
          "region": JSON(region?.name), "metrics": JSON(metrics.map { "http://\($0)/metrics" }),
        ],
        else: "\(role)\(region.map { " in \($0)" } ?? "") listening on \(address)\n"
          + (metrics.map { "metrics at http://\($0)/metrics\n" } ?? ""))
    }
  }
}

/// Reads a level of the log.
@Sendable
func parseLogLevel(_ text: String) throws -> Logger.Level {
  guard let level = Logger.Level(rawValue: text) else {
    let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
    throw ValidationError("give one of \(levels)")
  }
  return level
}
