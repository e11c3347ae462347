import ArgumentParser
import CadastreClient
import Catalog
import Replay
import Synchronization

struct AuditAtCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "at",
    abstract: "Look up keys, or list routes, as they were.",
    discussion: """
      Keys, a span, a group or routes by id, at one version.

      Examples:
        cadastre audit at usr/bin/env --as-of 1200 --log ./catalog
        cadastre audit at --span usr/lib usr/lic --as-of 2026-08-01T12:00:00Z --log ./catalog
        cadastre audit at --group 12 --as-of 2026-08-01 --all --json --server host:4711
        cadastre audit at --id 7 --as-of 40 --log ./catalog
      """)

  @Argument(help: ArgumentHelp("Keys to look up.", valueName: "key"), transform: parseKey)
  var keys: [Key] = []

  @OptionGroup var selection: SelectorOptions
  @OptionGroup var version: AsOfOptions
  @OptionGroup var limits: LimitOptions
  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if !keys.isEmpty, !selection.isEmpty {
      throw ValidationError("keys, --span, --group and --id exclude each other")
    }
  }

  private func question() throws -> AuditQuestion {
    if !keys.isEmpty { return .keys(keys) }
    return switch try selection.selector() {
    case .span(let span): .span(span)
    case .group(let group): .group(group)
    case .ids(let ids): .ids(ids)
    }
  }

  func run() async throws {
    let (question, version, output) = (try question(), version.asOf, output)
    // One more than asked for tells whether there are more.
    let limit = keys.isEmpty && selection.ids.isEmpty ? limits.maximum : Int.max
    let printer = Mutex(AuditAtPrinter(question, limit: limit, json: output.json))
    try await catalog.withAudit { catalog in
      try await catalog.at(question, asOf: version, limit: limit == .max ? limit : limit + 1) {
        piece in
        try printer.withLock { try $0.take(piece) }
        return true
      }
    }
    try printer.withLock { try $0.end() }
  }
}

/// Writes the routes of a version as they come.
private struct AuditAtPrinter: ~Copyable {
  private let question: AuditQuestion
  private let limit: Int
  private let json: Bool
  private var point: AuditPoint?
  private var document: StreamedDocument?
  private var table: TextTable
  private var count = 0
  private var missing: Set<RouteID> = []

  init(_ question: AuditQuestion, limit: Int, json: Bool) {
    self.question = question
    self.limit = limit
    self.json = json
    switch question {
    case .keys:
      table = TextTable(
        .left("KEY"), .right("ROUTE"), .right("GROUP"), .left("STATE"), .left("REGIONS"),
        .right("VERSION"), .left("START"), .left("END"))
    case .ids(let ids):
      missing = Set(ids)
      table = .routes()
    case .group, .span: table = .routes()
    }
  }

  mutating func take(_ piece: AuditPiece<Route>) throws {
    switch piece {
    case .point(let point): self.point = point
    case .elements(let routes):
      // What was not found is said instead of a part of the answer.
      missing.subtract(routes.map(\.id))
      try checkMissing()
      if json, document == nil { begin() }
      if case .keys(let keys) = question {
        for (key, route) in zip(keys, routes) { add(key, route) }
      } else {
        for route in routes.prefix(limit - min(limit, count)) { add(route) }
      }
      count += routes.count
    case .summary, .cut: break
    }
  }

  private func checkMissing() throws {
    guard !missing.isEmpty else { return }
    let missing = missing.sorted()
    throw Problem(
      .notFound, code: "no-such-route",
      "no route has the id \(missing.map(\.description).joined(separator: ", ")) at version "
        + "\(point?.version ?? .zero)",
      help: "`cadastre audit history --route ID` tells what became of a route that is no more",
      details: [
        ("routes", .array(missing.map { JSON($0) })),
        ("version", JSON(point?.version ?? .zero)),
      ])
  }

  private mutating func begin() {
    var list = "routes"
    if case .keys = question { list = "keys" }
    document = StreamedDocument(point?.fields ?? [], list: list)
  }

  private mutating func add(_ key: Key, _ route: Route) {
    if let document {
      document.add(.object(JSON.fields("key", key) + [("route", route.json)]))
    } else {
      table.add(
        quoted(key), route.id.description, route.group.description, route.state.description,
        route.regionsText, route.version.description, quoted(route.span.lower),
        route.span.upper.map(quoted) ?? "∞")
    }
  }

  private mutating func add(_ route: Route) {
    if let document { document.add(route.json) } else { table.add(route) }
  }

  mutating func end() throws {
    try checkMissing()
    if json {
      if document == nil { begin() }
      if case .keys = question {
        document?.end()
      } else {
        document?.end([("more", .bool(count > limit))])
      }
      return
    }
    StandardStream.output.write(table.text(style: StandardStream.output.style))
    let shown = min(count, limit)
    let more = count > limit ? " shown, there are more (--all)" : ""
    StandardStream.output.writeLine(
      "\(grouped(shown)) route\(shown == 1 ? "" : "s")\(more), at \(point?.text ?? "")")
  }
}
