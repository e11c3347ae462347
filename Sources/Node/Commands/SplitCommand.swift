import ArgumentParser
import Catalog
import StateMachines

struct SplitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "split",
    abstract: "Split routes: each key given becomes the start of a new route.",
    discussion: """
      All keys are one command: one entry, one version, all or nothing. A key at which a route \
      starts already is done already.

      Examples:
        cadastre split --at m --log ./catalog
        cadastre split --at usr/lib usr/share --reason "hot folder" --server host:4711
        cut -f1 hot-keys.tsv | cadastre split --from-file - --log ./catalog
      """)

  @Option(
    name: .customLong("at"), parsing: .upToNextOption,
    help: ArgumentHelp("The first keys of the new routes.", valueName: "key"), transform: parseKey)
  var keys: [Key] = []

  @Option(
    help: ArgumentHelp(
      "Refuse unless this route holds the keys.", valueName: "id"), transform: parseRouteID)
  var route: RouteID?

  @Option(
    help: ArgumentHelp(
      "Read keys from this file too, one a line (before a tab); - is standard input.",
      valueName: "file"),
    transform: parsePath)
  var fromFile: String?

  @Flag(help: "Keys in the file use the escapes \\xNN and \\\\; else a line's bytes are the key.")
  var escaped = false

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var write: WriteOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if keys.isEmpty, fromFile == nil {
      throw ValidationError("no key is given: use --at KEY or --from-file FILE")
    }
  }

  func run() async throws {
    var all = keys
    if let fromFile {
      let list = try KeyFileReader.read(path: fromFile, escaped: escaped).keys
      all += (0..<list.count).map(list.key(at:))
    }
    guard !all.isEmpty else {
      throw Problem(.usage, code: "bad-input", "there are no keys to split at", help: "give some")
    }
    let command = try write.command(.split(all.map { SplitRequest(route: route, at: $0) }))
    try await catalog.submit(command, output: output)
  }
}
