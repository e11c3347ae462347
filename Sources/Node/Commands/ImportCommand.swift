import ArgumentParser
import CadastreClient
import Catalog
import StateMachines

struct ImportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Fill a catalog from a file of keys, or from a TiKV cluster's region listing.",
    discussion: """
      The file has a key on each line; what follows a tab names the key's owner. It may be \
      compressed with gzip. Keys are sorted, and repeated ones dropped, where needed. A route \
      starts at every Nth key, the first one at the least key, so that the routes hold the whole \
      keyspace. The catalog must be empty; a folder is made if there is none. All routes are one \
      entry of the log: the import is there whole, or not at all.

      With --format pd the file is what pd-ctl prints for `region` (JSON, regions in any order): a \
      route for each region. A catalog that has routes is brought into line with the listing: what \
      changed since the last one becomes one version, and what did not is not touched.

      Examples:
        cadastre import keys.tsv.gz --log ./catalog --every 10
        cadastre import keys.txt --groups-by round-robin --groups 64 --log ./catalog --dry-run
        pd-ctl region | cadastre import - --format pd --log ./tikv
      """)

  enum Grouping: String, ExpressibleByArgument, CaseIterable {
    case package
    case roundRobin = "round-robin"
    case region
    case leaderStore = "leader-store"
  }

  enum Format: String, ExpressibleByArgument, CaseIterable {
    case keys
    case pd
  }

  @Argument(
    help: ArgumentHelp("The file; - is standard input.", valueName: "file"),
    transform: parsePath)
  var file: String

  @Option(help: "What the file holds: a key a line, or a region listing of TiKV's PD.")
  var format = Format.keys

  @OptionGroup var catalog: CatalogOptions

  @Option(
    help: ArgumentHelp("Start a route at every Nth key. Default: 10.", valueName: "n"))
  var every: Int?

  @Option(
    help: ArgumentHelp(
      "Which group gets a route.",
      discussion:
        "package: a group for each distinct owner of a route's first key, numbered by name; "
        + "round-robin: groups 1 to --groups in turn; region: the region, by its id; "
        + "leader-store: the store that leads the region. Default: package, and region with "
        + "--format pd."))
  var groupsBy: Grouping?

  @Option(
    help: ArgumentHelp(
      "With --format pd: routes of this group where no region is listed. Default: refuse gaps.",
      valueName: "group"),
    transform: parseGroupID)
  var fillGaps: GroupID?

  @Option(help: ArgumentHelp("How many groups, for round-robin.", valueName: "n"))
  var groups: Int?

  @Option(
    help: ArgumentHelp(
      "The regions where the routes may live, with commas between. Default: any.",
      valueName: "regions"),
    transform: parseRegions)
  var regions: [Region] = []

  @Flag(help: "Keys use the escapes \\xNN and \\\\; else a line's bytes are the key.")
  var escaped = false

  @Flag(help: "Read and cut, and say what would be; write nothing.")
  var dryRun = false

  @OptionGroup var author: AuthorOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if let every, every < 1 { throw ValidationError("--every must be above 0") }
    if let groups, groups < 1 { throw ValidationError("--groups must be above 0") }
    switch (format, groupsBy) {
    case (.keys, .region), (.keys, .leaderStore):
      throw ValidationError("--groups-by region and leader-store go with --format pd")
    case (.pd, .package), (.pd, .roundRobin):
      throw ValidationError("with --format pd groups are by region or by leader-store")
    case (.keys, _), (.pd, _): break
    }
    if format == .pd, every != nil || escaped || !regions.isEmpty {
      throw ValidationError("--every, --escaped and --regions go with a file of keys")
    }
    if format == .keys, fillGaps != nil {
      throw ValidationError("--fill-gaps goes with --format pd: keys leave no gaps")
    }
    if (groups != nil) != (groupsBy == .roundRobin) {
      throw ValidationError("--groups N goes with --groups-by round-robin, and only with it")
    }
    if !dryRun { _ = try catalog.place() }
  }

  func run() async throws {
    switch format {
    case .keys: try await importKeys()
    case .pd: try await importRegions()
    }
  }

  private func importKeys() async throws {
    let start = NodeClock.system.now()
    let place = dryRun ? nil : try catalog.place()
    var existing: FolderWriter?
    if case .folder(let folder) = place {
      // First of all: it is a pity to read a million keys and then find the folder taken.
      existing = try openExisting(folder)
    }
    defer { existing?.close() }
    let (keys, tidying, emptyLines) = try readKeys()
    let cut = try cut(keys)
    var summary = ImportSummary(
      keys: keys.count, tidying: tidying, emptyLines: emptyLines, routes: cut.routeCount,
      groups: cut.groupCount)
    let command = command(cut)
    switch place {
    case .folder(let folder):
      let writer = try existing ?? FolderWriter(creating: .random(), in: folder)
      defer { writer.close() }
      let receipt = try await writer.submit(command)
      summary.written = .init(receipt, digest: writer.state.digest)
    case .server(let address, let connection):
      summary.written = try await NodeClient.with(address, connection: connection) { client in
        let receipt = try await ServerCatalog(client: client).submit(command)
        return .init(receipt, digest: try await client.status().digest)
      }
    case nil: break
    }
    let elapsed = NodeClock.system.now() - start
    output.write(summary.json(elapsed), else: summary.text(elapsed))
  }

  /// The catalog in the folder; nil when there is none yet.
  func openExisting(_ folder: String) throws -> FolderWriter? {
    let writer: FolderWriter
    do {
      writer = try FolderWriter(folder: folder)
    } catch let problem as Problem where problem.code == "no-log" {
      return nil
    }
    guard format == .pd || writer.state.routes.isEmpty else {
      let version = writer.state.version
      writer.close()
      throw Problem(NodeError(Refusal.alreadyBootstrapped(version: version), current: version))
    }
    return writer
  }

  private func readKeys() throws -> (KeyList, KeyList.Tidying, Int) {
    let progress = ProgressBar("reading", unit: "keys", total: nil)
    defer { progress.finish() }
    let reader = try KeyFileReader.read(
      path: file, escaped: escaped, dropsRepeats: true
    ) { count in
      try Task.checkCancellation()
      progress.update(count)
    }
    var keys = reader.keys
    guard !keys.isEmpty else {
      throw Problem(
        .usage, code: "bad-input", "\(file) holds no keys", help: "give a file with a key a line")
    }
    let tidying = keys.tidy()
    if tidying.sorted { output.note("the keys were not in order: sorted them") }
    if tidying.duplicates > 0 {
      output.note("dropped \(grouped(tidying.duplicates)) keys that were there before")
    }
    return (keys, tidying, reader.emptyLines)
  }

  private func cut(_ keys: KeyList) throws -> CatalogCut {
    let progress = ProgressBar("cutting", unit: "keys", total: UInt64(keys.count))
    defer { progress.finish() }
    let grouping: CatalogCut.Grouping =
      groupsBy == .roundRobin ? .roundRobin(groups ?? 1) : .byOwner
    return CatalogCut(of: keys, every: every ?? 10, grouping: grouping, progress: progress.update)
  }

  private func command(_ cut: CatalogCut) -> Command {
    let seeds = zip(cut.starts, cut.groups).map {
      RouteSeedRequest(start: $0, group: $1, allowedRegions: regions)
    }
    return Command(
      id: .random(), actor: author.actorOrUser,
      reason: author.reason.isEmpty ? "import of \(abbreviated(file))" : author.reason,
      change: .bootstrap(seeds))
  }
}

/// What an import did.
private struct ImportSummary {
  struct Written {
    var position: LogPosition
    var version: CatalogVersion
    var digest: StateDigest

    init(_ receipt: CommandReceipt, digest: StateDigest) {
      (position, version, self.digest) = (receipt.position, receipt.version, digest)
    }
  }

  var keys: Int
  var tidying: KeyList.Tidying
  var emptyLines: Int
  var routes: Int
  var groups: Int
  /// Nil after a dry run.
  var written: Written?

  func json(_ elapsed: Duration) -> JSON {
    [
      "dry_run": .bool(written == nil),
      "keys": JSON(keys),
      "sorted": .bool(tidying.sorted),
      "duplicates": JSON(tidying.duplicates),
      "empty_lines": JSON(emptyLines),
      "routes": JSON(routes),
      "groups": JSON(groups),
      "position": JSON(written?.position.rawValue),
      "version": JSON(written?.version.rawValue),
      "digest": JSON(written?.digest.description),
      "seconds": .decimal(elapsed.inSeconds),
    ]
  }

  func text(_ elapsed: Duration) -> String {
    var facts = FactList()
    facts.add("keys read", grouped(keys))
    if emptyLines > 0 { facts.add("empty lines", "\(grouped(emptyLines)), passed over") }
    facts.add("routes", grouped(routes))
    facts.add("groups", grouped(groups))
    if let written {
      facts.add("version", written.version)
      facts.add("position", written.position)
      facts.add("digest", written.digest)
    } else {
      facts.add("written", "nothing: this was a dry run")
    }
    facts.add("seconds", String((elapsed.inSeconds * 100).rounded() / 100))
    return facts.text(style: StandardStream.output.style)
  }
}
