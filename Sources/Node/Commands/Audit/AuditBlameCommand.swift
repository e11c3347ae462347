import ArgumentParser
import Catalog
import Replay
import Synchronization

struct AuditBlameCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "blame",
    abstract: "For each route of a span, name the entry that made it what it is.",
    discussion: """
      Without keys the span is the whole keyspace; with one it reaches from there to the end.

      Examples:
        cadastre audit blame --log ./catalog
        cadastre audit blame usr/lib usr/lic --as-of 2026-08-01 --server host:4711
        cadastre audit blame m --all --json --log ./catalog
      """)

  @Argument(
    help: ArgumentHelp("The first key of the span, and the first past it.", valueName: "key"),
    transform: parseKey)
  var span: [Key] = []

  @OptionGroup var version: AsOfOptions
  @OptionGroup var limits: LimitOptions
  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var output: OutputOptions

  func validate() throws { _ = try parseSpan(span) }

  func run() async throws {
    let (span, version, limit) = (try parseSpan(span), version.asOf, limits.maximum)
    let printer = Mutex(BlamePrinter(limit: limit, json: output.json))
    try await catalog.withAudit { catalog in
      try await catalog.blame(span, asOf: version, limit: limit == .max ? limit : limit + 1) {
        piece in
        printer.withLock { $0.take(piece) }
        return true
      }
    }
    printer.withLock { $0.end() }
  }
}

/// Writes routes and their entries as they come.
private struct BlamePrinter: ~Copyable {
  private let limit: Int
  private let json: Bool
  private var point: AuditPoint?
  private var document: StreamedDocument?
  private var table = TextTable(
    .right("ROUTE"), .right("GROUP"), .left("STATE"), .left("START"), .left("END"),
    .right("VERSION"), .left("TIME"), .left("ACTOR"), .left("REASON"))
  private var count = 0

  init(limit: Int, json: Bool) { (self.limit, self.json) = (limit, json) }

  mutating func take(_ piece: AuditPiece<BlamedRoute>) {
    switch piece {
    case .point(let point):
      self.point = point
      if json { document = StreamedDocument(point.fields, list: "routes") }
    case .elements(let routes):
      for route in routes.prefix(limit - min(limit, count)) { add(route) }
      count += routes.count
    case .summary, .cut: break
    }
  }

  private mutating func add(_ blamed: BlamedRoute) {
    let (route, stamp) = (blamed.route, blamed.stamp)
    if let document {
      return document.add(["route": route.json, "entry": stamp?.json ?? .null])
    }
    table.add(
      route.id.description, route.group.description, route.state.description,
      quoted(route.span.lower), route.span.upper.map(quoted) ?? "∞", route.version.description,
      route.changedAt.text, stamp.map { plainText($0.actor) } ?? "?",
      stamp.map { plainText($0.reason) } ?? "(the entry is no longer kept)")
  }

  mutating func end() {
    if let document { return document.end([("more", .bool(count > limit))]) }
    StandardStream.output.write(table.text(style: StandardStream.output.style))
    let shown = min(count, limit)
    let more = count > limit ? " shown, there are more (--all)" : ""
    StandardStream.output.writeLine(
      "\(grouped(shown)) route\(shown == 1 ? "" : "s")\(more), at \(point?.text ?? "")")
  }
}
