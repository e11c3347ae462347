import ArgumentParser
import Catalog
import Replay

struct AuditLogCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log",
    abstract: "Print the entries of the log that pass a filter.",
    discussion: """
      Oldest first, or with --newest-first the other way round. Bounds include their ends; a date \
      means its first moment. --span lets entries pass that changed a route which overlapped it, \
      before or after. With --json an entry is a line.

      Examples:
        cadastre audit log --since 2026-08-01 --until 2026-08-02 --log ./catalog
        cadastre audit log --actor ann --kind move --kind merge --newest-first --server host:4711
        cadastre audit log --span usr/lib usr/lic --as-of 1200 --events --log ./catalog
        cadastre audit log --follow --json --server host:4711
      """)

  @Option(
    help: ArgumentHelp("Begin with this entry.", valueName: "position"), transform: parsePosition)
  var from: LogPosition?

  @Option(
    help: ArgumentHelp("End with this entry.", valueName: "position"), transform: parsePosition)
  var to: LogPosition?

  @Option(
    help: ArgumentHelp("Begin with the entry that made this version.", valueName: "version"),
    transform: parseVersion)
  var fromVersion: CatalogVersion?

  @Option(
    help: ArgumentHelp("Entries of this time or later.", valueName: "time"), transform: parseTime)
  var since: HybridTimestamp?

  @Option(
    help: ArgumentHelp("Entries of this time or earlier.", valueName: "time"), transform: parseTime)
  var until: HybridTimestamp?

  @Option(
    help: ArgumentHelp(
      "End with this version, named by number or by a time.", valueName: "version|time"),
    transform: parseAsOf)
  var asOf: AsOf?

  @Option(help: ArgumentHelp("Only entries of this actor.", valueName: "name"))
  var actor: String?

  @Option(
    name: .customLong("kind"),
    help: ArgumentHelp(
      "Only entries with an event of this kind; may be given again.",
      discussion: "One of \(EventKind.allCases.map(\.rawValue).joined(separator: ", ")).",
      valueName: "kind"),
    transform: parseEventKind)
  var kinds: [EventKind] = []

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Only entries that changed a route of a span: its first key, and the first key past it.",
      discussion: "With one key, the span reaches to the end of the keyspace.", valueName: "key"),
    transform: parseKey)
  var span: [Key] = []

  @Option(help: ArgumentHelp("Print at most so many entries.", valueName: "n"))
  var limit: Int?

  @Flag(help: "Print the newest entries first.")
  var newestFirst = false

  @Flag(help: "Print the events of each entry too.")
  var events = false

  @Flag(help: "Go on with new entries as they come, until Ctrl-C.")
  var follow = false

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if let from, let to, to < from { throw ValidationError("--to lies before --from") }
    if let since, let until, until < since { throw ValidationError("--until lies before --since") }
    if let limit, limit < 1 { throw ValidationError("--limit must be above 0") }
    if follow, newestFirst {
      throw ValidationError("--follow and --newest-first exclude each other")
    }
    _ = try parseSpan(span)
  }

  private func question() throws -> LogQuestion {
    var question = LogQuestion()
    question.bounds.firstPosition = from
    question.bounds.lastPosition = to
    question.bounds.firstVersion = fromVersion
    question.bounds.since = since
    // The last moment of the millisecond, which is the finest that anybody can name.
    question.bounds.until = until.map {
      HybridTimestamp(milliseconds: $0.milliseconds, counter: .max)
    }
    switch asOf {
    case .version(let version): question.bounds.lastVersion = version
    case .time(let time): question.bounds.until = min(question.bounds.until ?? time, time)
    case .newest, nil: break
    }
    question.filter.actor = actor
    question.filter.kinds = Set(kinds)
    question.filter.span = span.isEmpty ? nil : try parseSpan(span)
    question.newestFirst = newestFirst
    question.follow = follow
    question.limit = limit ?? .max
    return question
  }

  func run() async throws {
    let (question, printer) = (try question(), EntryPrinter(json: output.json, events: events))
    do {
      try await catalog.withAudit { catalog in
        try await catalog.log(question) { piece in
          if case .elements(let entries) = piece { printer.write(entries) }
          return true
        }
      }
    } catch {
      // Ctrl-C is how following ends.
      guard follow, Task.isCancelled else { throw error }
    }
  }
}

/// Reads the name of a kind of event.
@Sendable
func parseEventKind(_ text: String) throws -> EventKind {
  guard let kind = EventKind(rawValue: text) else {
    let names = EventKind.allCases.map(\.rawValue).joined(separator: ", ")
    throw ValidationError("give one of \(names)")
  }
  return kind
}
