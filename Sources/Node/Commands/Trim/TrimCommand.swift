import ArgumentParser
import Catalog
import Replay

struct TrimCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trim",
    abstract: "Remove what of the past is no longer to be kept, and give the disk its space back.",
    discussion: """
      Checkpoints are kept ever fewer the older they are: the first of an hour, of a day, of a week. \
      With --keep-log the log comes to begin with the newest checkpoint from before that time; what \
      came before is gone for good, and a signed marker in the log says so. Versions that the log \
      reaches can be opened however few checkpoints there are.

      A server that writes the folder trims by itself when it is started with these options.

      Examples:
        cadastre trim --log ./catalog --keep-log 30d --dry-run
        cadastre trim --log ./catalog --keep-log 30d --keep-checkpoints 1d
        cadastre serve --log ./catalog --keep-log 30d
      """)

  @OptionGroup var folder: FolderOptions
  @OptionGroup var retention: RetentionOptions

  @Flag(help: "Say what would go, and remove nothing. Works beside a server.")
  var dryRun = false

  @Option(
    help: ArgumentHelp(
      "Whether files are compacted: always, worthwhile or never. Default: always.",
      valueName: "when"))
  var compact = CompactionDemand.always

  @OptionGroup var output: OutputOptions

  func run() async throws {
    let outcome: TrimOutcome
    do {
      let folder = try folder.folder()
      outcome = try dryRun ? preview(folder) : trim(folder)
    } catch let error as StoreError {
      throw Problem(error)
    }
    output.write(outcome.json, else: outcome.text)
  }

  private func preview(_ folder: String) throws(StoreError) -> TrimOutcome {
    let log = try EventLog.open(folder: folder, mode: .readOnly)
    let report = try log.trimPreview(
      retention.policy, nowMilliseconds: NodeClock.system.wallMilliseconds())
    return TrimOutcome(report: report, policy: retention.policy, isDryRun: true)
  }

  private func trim(_ folder: String) throws(StoreError) -> TrimOutcome {
    let isMirror = try EventLog.open(folder: folder, mode: .readOnly, provesEnd: false).isMirror()
    let bar = ReplayBar("opening")
    let store = try CatalogStore.open(
      folder: folder, options: StoreOptions(role: isMirror ? .learner : .leader),
      wallMilliseconds: NodeClock.system.wallMilliseconds, progress: bar.update)
    bar.finish()
    defer { store.close() }
    let report = try store.trim(
      retention.policy, nowMilliseconds: NodeClock.system.wallMilliseconds(), compacting: compact
    ) { () throws(StoreError) in try SigningKeyFile.ofNode(in: folder) }
    return TrimOutcome(report: report, policy: retention.policy, isDryRun: false)
  }
}

extension CompactionDemand: ExpressibleByArgument {}

extension SigningKeyFile {
  /// The key of a folder, made of the system's randomness where there is none yet.
  static func ofNode(in folder: String) throws(StoreError) -> SigningKey {
    try loadOrMake(in: folder) {
      var generator = SystemRandomNumberGenerator()
      return (0..<SigningKey.byteCount).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }
  }
}

/// What was removed, or would be.
private struct TrimOutcome {
  var report: TrimReport
  var policy: RetentionPolicy
  var isDryRun: Bool

  var json: JSON {
    [
      "dry_run": .bool(isDryRun),
      "policy": .string(policy.description),
      "begins_after_version": JSON(report.base),
      "began_after_version": JSON(report.baseBefore),
      "entries": .number(report.entryCount),
      "entry_bytes": JSON(report.entryByteCount),
      "checkpoints": .array(report.dropped.map { JSON($0) }),
      "checkpoints_kept": JSON(report.keptCount),
      "damaged_checkpoints": .array(report.damaged.map { JSON($0) }),
      "nodes": report.nodeCount.map { JSON($0) } ?? .null,
      "node_bytes": report.nodeByteCount.map { JSON($0) } ?? .null,
      "log_file": json(report.logFile),
      "checkpoint_file": json(report.checkpointFile),
    ]
  }

  private func json(_ file: FileShrinkage?) -> JSON {
    guard let file else { return .null }
    return ["bytes_before": JSON(file.before), "bytes_after": JSON(file.after)]
  }

  var text: String {
    var facts = FactList()
    facts.add("policy", policy)
    let would = isDryRun ? "would go" : "gone"
    facts.add(
      "entries",
      report.entryCount == 0
        ? "none \(would)"
        : "\(grouped(report.entryCount)) \(would), \(grouped(report.entryByteCount)) bytes")
    facts.add(
      "log begins after",
      report.base == report.baseBefore
        ? "version \(report.base), as before"
        : "version \(report.base), before: \(report.baseBefore)")
    facts.add(
      "checkpoints", "\(grouped(report.dropped.count)) \(would), \(grouped(report.keptCount)) stay")
    if !report.damaged.isEmpty {
      let versions = report.damaged.map { "\($0)" }.joined(separator: ", ")
      facts.add(
        "damaged", "the checkpoints of versions \(versions): cadastre repair makes them anew")
    }
    if let count = report.nodeCount, let byteCount = report.nodeByteCount {
      facts.add("nodes", "\(grouped(count)) \(would), \(grouped(byteCount)) bytes")
    }
    for (name, file) in [
      ("log's file", report.logFile), ("checkpoints' file", report.checkpointFile),
    ] {
      guard let file else { continue }
      facts.add(
        name, "\(grouped(file.before)) bytes on the disk before, \(grouped(file.after)) after")
    }
    return facts.text(style: StandardStream.output.style)
  }
}
