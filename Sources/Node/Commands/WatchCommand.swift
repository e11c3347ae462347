import ArgumentParser
import Catalog
import Synchronization

struct WatchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch",
    abstract: "Print every change of the catalog as it happens, none left out.",
    discussion: """
      From a version on, or from now. When that version is no longer retained this is said as a \
      reset, with the version that the watch goes on from. Ends with --until, --count or Ctrl-C.

      Examples:
        cadastre watch --server host:4711
        cadastre watch --from 40 --until 50 --json --server host:4711
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

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if let count, count < 1 { throw ValidationError("--count must be above 0") }
  }

  func run() async throws {
    let seen = Atomic<Int>(0)
    let printer = WatchPrinter(json: output.json)
    let (from, until, limit) = (from, until, count ?? .max)
    do {
      try await catalog.withReader { connection in
        try await connection.watch(after: from) { update in
          printer.print(update)
          let reached: CatalogVersion
          switch update {
          case .started(let version), .reset(let version, _, _, _): reached = version
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
    StandardStream.output.writeLine(json ? Self.json(update).description : Self.text(update))
  }

  private static func json(_ update: WatchUpdate) -> JSON {
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
    }
  }

  private static func text(_ update: WatchUpdate) -> String {
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
    }
  }
}
