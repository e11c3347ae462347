import ArgumentParser
import Catalog
import Synchronization

struct WatchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch",
    abstract: "Print every change of the catalog as it happens, none left out.",
    discussion: """
      From a version on, or from now. All changes, or those of a span (--span) or of a group \
      (--group): a route that leaves what is watched is removed, one that enters it is new, and \
      versions that change nothing of it are left out.

      A line for each version: its number, how many routes it changed or made and how many it \
      removed, and the routes themselves where they are few. With --json a line holds an object; \
      "type" is "started", "change" or "reset". When the version that was asked for is no longer \
      retained, this is said as a reset, with the reason and the version that the watch goes on \
      from: list the routes anew.

      Ends with --until, --count or Ctrl-C. To go on later, pass the last version on with --from.

      Examples:
        cadastre watch --server host:4711
        cadastre watch --from 40 --until 50 --json --server host:4711
        cadastre watch --span usr/lib usr/lic --log ./catalog
        cadastre watch --group 12 --from 40 --json --server host:4711
      """)

  @Option(
    help: ArgumentHelp("Print the changes after this version.", valueName: "version"),
    transform: parseVersion)
  var from: CatalogVersion?

  @Option(
    help: ArgumentHelp("End once this version was printed.", valueName: "version"),
    transform: parseVersion)
  var until: CatalogVersion?

  @Option(help: ArgumentHelp("End after so many changes.", valueName: "n"))
  var count: Int?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Only changes of routes that overlap a span: its first key, and the first key past it.",
      discussion: "With one key, the span reaches to the end of the keyspace.", valueName: "key"),
    transform: parseKey)
  var span: [Key] = []

  @Option(
    help: ArgumentHelp("Only changes of the routes of a group, by id.", valueName: "id"),
    transform: parseGroupID)
  var group: GroupID?

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if let count, count < 1 { throw ValidationError("--count must be above 0") }
    if !span.isEmpty, group != nil {
      throw ValidationError("--span and --group exclude each other")
    }
    _ = try filter()
  }

  private func filter() throws -> WatchFilter {
    if let group { return .group(group) }
    return span.isEmpty ? .all : .span(try parseSpan(span))
  }

  func run() async throws {
    let seen = Atomic<Int>(0)
    let printer = WatchPrinter(json: output.json)
    let (from, until, limit, filter) = (from, until, count ?? .max, try filter())
    do {
      try await catalog.withReader { connection in
        try await connection.watch(after: from, filter) { update in
          printer.print(update)
          let reached: CatalogVersion
          switch update {
          case .started(let version), .reset(let version, _, _, _), .passed(let version):
            reached = version
          case .delta(let delta):
            reached = delta.to
            seen.add(1, ordering: .relaxed)
          }
          if let until, reached >= until { return false }
          return seen.load(ordering: .relaxed) < limit
        }
      }
    } catch {
      // Ctrl-C is how a watch ends.
      guard Task.isCancelled else { throw error }
    }
  }
}

/// Writes a line for each thing that a watch hears.
private struct WatchPrinter: Sendable {
  let json: Bool

  func print(_ update: WatchUpdate) {
    let line = json ? Self.json(update)?.description : Self.text(update)
    if let line { StandardStream.output.writeLine(line) }
  }

  /// nil for what need not be told.
  private static func json(_ update: WatchUpdate) -> JSON? {
    switch update {
    case .started(let version):
      ["type": "started", "version": JSON(version)]
    case .reset(let version, let routes, let digest, let reason):
      [
        "type": "reset", "version": JSON(version), "routes": .number(routes),
        "digest": JSON(digest?.description), "reason": .string(reason),
      ]
    case .delta(let delta):
      [
        "type": "change", "version": JSON(delta.to),
        "removed": .array(delta.removed.map { JSON($0) }),
        "upserted": .array(delta.upserted.map(\.json)),
      ]
    case .passed: nil
    }
  }

  private static func text(_ update: WatchUpdate) -> String? {
    switch update {
    case .started(let version): return "watching, from version \(version)"
    case .reset(let version, let routes, _, let reason):
      return "reset to version \(version), \(grouped(routes)) routes: \(reason)"
    case .delta(let delta):
      let changed = "\(grouped(delta.upserted.count)) changed or new"
      let removed = "\(grouped(delta.removed.count)) removed"
      var line = "version \(delta.to): \(changed), \(removed)"
      // A few are worth naming; a batch is not.
      if delta.upserted.count <= 4 {
        for route in delta.upserted {
          line += "; route \(route.id) \(route.span) group \(route.group) \(route.state)"
        }
      }
      return line
    case .passed: return nil
    }
  }
}
