import ArgumentParser
import Catalog
import Replay
import Synchronization

struct AuditHistoryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "history",
    abstract: "Tell each change of a key, a route, a group or a span, newest first.",
    discussion: """
      When, by whom, why, and what it was before and after. The history of a key goes on through \
      splits and merges with whichever route held it; that of a route goes on with the routes that it \
      came from, back to the first, unless --own is given. A route may be one that is no more.

      Examples:
        cadastre audit history usr/bin/env --log ./catalog
        cadastre audit history --route 7 --as-of 1200 --log ./catalog
        cadastre audit history --group 12 --limit 20 --server host:4711
        cadastre audit history --span usr/lib usr/lic --all --json --log ./catalog
      """)

  @Argument(help: ArgumentHelp("The key.", valueName: "key"), transform: parseKey)
  var key: Key?

  @Option(
    help: ArgumentHelp("The route with this id.", valueName: "id"), transform: parseRouteID)
  var route: RouteID?

  @Option(help: ArgumentHelp("A group.", valueName: "id"), transform: parseGroupID)
  var group: GroupID?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "A span: its first key, and the first key past it.",
      discussion: "With one key, the span reaches to the end of the keyspace.", valueName: "key"),
    transform: parseKey)
  var span: [Key] = []

  @Flag(help: "Tell of the route alone, and not of those that it came from.")
  var own = false

  @OptionGroup var version: AsOfOptions
  @OptionGroup var limits: LimitOptions
  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var output: OutputOptions

  func validate() throws { _ = try scope() }

  private func scope() throws -> HistoryScope {
    let count = [key != nil, route != nil, group != nil, !span.isEmpty].filter { $0 }.count
    guard count == 1 else {
      throw ValidationError("give one of a key, --route, --group and --span")
    }
    if own, route == nil { throw ValidationError("--own goes with --route") }
    if let key { return .key(key) }
    if let route { return .route(route, ancestors: !own) }
    if let group { return .group(group) }
    return .span(try parseSpan(span))
  }

  func run() async throws {
    let (scope, version, limit) = (try scope(), version.asOf, limits.maximum)
    let printer = Mutex(HistoryPrinter(limit: limit, json: output.json))
    try await catalog.withAudit { catalog in
      try await catalog.history(
        of: scope, asOf: version, limit: limit == .max ? limit : limit + 1
      ) { piece in
        printer.withLock { $0.take(piece) }
        return true
      }
    }
    printer.withLock { $0.end() }
  }
}

/// Writes changes as they come.
private struct HistoryPrinter: ~Copyable {
  private let limit: Int
  private let json: Bool
  private var point: AuditPoint?
  private var document: StreamedDocument?
  private var table = TextTable(
    .right("VERSION"), .left("TIME"), .right("ROUTE"), .left("WHAT"), .left("ACTOR"),
    .left("REASON"), .left("CHANGE"))
  private var count = 0
  private var isCut = false

  init(limit: Int, json: Bool) { (self.limit, self.json) = (limit, json) }

  mutating func take(_ piece: AuditPiece<AuditChange>) {
    switch piece {
    case .point(let point):
      self.point = point
      if json {
        document = StreamedDocument(point.fields, list: "changes")
      }
    case .elements(let changes):
      for change in changes.prefix(limit - min(limit, count)) { add(change) }
      count += changes.count
    case .cut: isCut = true
    case .summary: break
    }
  }

  private mutating func add(_ change: AuditChange) {
    if let document { return document.add(change.json) }
    let stamp = change.stamp
    table.add(
      stamp.version.description, stamp.time.text, change.route.description, change.kindsText,
      plainText(stamp.actor), plainText(stamp.reason), change.text)
  }

  mutating func end() {
    if let document {
      return document.end([("more", .bool(count > limit)), ("cut", .bool(isCut))])
    }
    StandardStream.output.write(table.text(style: StandardStream.output.style))
    let shown = min(count, limit)
    var line = "\(grouped(shown)) change\(shown == 1 ? "" : "s")"
    if count > limit { line += " shown, there are more (--all)" }
    line += ", through \(point?.text ?? "")"
    if isCut { line += "; what came before is no longer kept" }
    StandardStream.output.writeLine(line)
  }
}
