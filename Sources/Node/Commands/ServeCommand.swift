import ArgumentParser
import Catalog
import Logging
import Replay

struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Serve a catalog: as its leader, or with --follow as a learner.",
    discussion: """
      A leader decides commands and writes the log in its folder. A learner follows a leader's \
      log, proves every entry, keeps a log of its own, serves reads and forwards commands; its \
      folder is made where there is none. Ends in good order at Ctrl-C or SIGTERM.

      Examples:
        cadastre serve --log ./catalog --region eu-central --listen 127.0.0.1:4711
        cadastre serve --log ./mirror --region us-east --follow 127.0.0.1:4711
      """)

  @OptionGroup var folder: FolderOptions

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

  @Flag(
    help: "Listen where other machines reach it, though nothing is encrypted or authenticated.")
  var allowInsecureBind = false

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
      "Log from this level: trace, debug, info, notice, warning, error, critical.",
      valueName: "level"),
    transform: parseLogLevel)
  var logLevel = Logger.Level.info

  @OptionGroup var output: OutputOptions

  func validate() throws {
    _ = try folder.folder()
    if promote, follow != nil {
      throw ValidationError("--promote makes a leader, and --follow a learner: give one of them")
    }
    if !(2...1_000_000).contains(history) {
      throw ValidationError("--history must be from 2 to 1,000,000")
    }
  }

  func run() async throws {
    var configuration = NodeConfiguration(
      role: follow.map { .learner(of: $0) } ?? .leader, folder: try folder.folder(),
      listen: listen ?? NodeAddress(host: "127.0.0.1", port: 0))
    configuration.allowInsecureBind = allowInsecureBind
    configuration.region = region
    configuration.advertisedAddress = advertise
    configuration.addressFile = addressFile
    configuration.store.historyCapacity = history
    configuration.store.promotesMirror = promote
    configuration.store.checkpoints = checkpoints.policy
    if retention.isGiven { configuration.retention = retention.policy }
    if let trimEvery { configuration.retentionInterval = max(trimEvery, .milliseconds(100)) }
    if let patience { configuration.limits.patience = patience }
    let announcement = Announcement(
      role: follow == nil ? "leader" : "learner", region: region, output: output)
    configuration.onListening = { announcement.write($0) }
    var logger = Logger(label: "cadastre") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = logLevel
    try await NodeService.runUntilSignalled(configuration, logger: logger)
  }

  /// The first line of standard output: that the node serves, and where.
  private struct Announcement: Sendable {
    var role: String
    var region: Region?
    var output: OutputOptions

    func write(_ address: NodeAddress) {
      output.write(
        [
          "listening": .string(address.description), "role": .string(role),
          "region": JSON(region?.name),
        ],
        else: "\(role)\(region.map { " in \($0)" } ?? "") listening on \(address)\n")
    }
  }
}

/// Reads a level of the log.
@Sendable
private func parseLogLevel(_ text: String) throws -> Logger.Level {
  guard let level = Logger.Level(rawValue: text) else {
    let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
    throw ValidationError("give one of \(levels)")
  }
  return level
}
