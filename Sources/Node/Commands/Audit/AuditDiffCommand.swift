import ArgumentParser
import Catalog
import Replay
import StateMachines
import Synchronization

struct AuditDiffCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract: "Say what differs between two versions: per route, and summed up.",
    discussion: """
      Versions are named by number or by a time; without a second one the newest is meant. A route \
      that has another group counts as left in the one and as joined in the other; so do regions.

      Examples:
        cadastre audit diff 1200 1300 --log ./catalog
        cadastre audit diff 2026-08-01 2026-08-02 --summary --server host:4711
        cadastre audit diff 1200 --all --json --log ./catalog
      """)

  @Argument(
    help: ArgumentHelp("The version to start from.", valueName: "version|time"),
    transform: parseAsOf)
  var from: AsOf

  @Argument(
    help: ArgumentHelp("The version to get to. Default: the newest.", valueName: "version|time"),
    transform: parseAsOf)
  var to: AsOf = .newest

  @Flag(help: "Print the sums alone.")
  var summary = false

  @OptionGroup var limits: LimitOptions
  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let (from, to, onlySummary) = (from, to, summary)
    let printer = Mutex(
      DiffPrinter(limit: onlySummary ? 0 : limits.maximum, json: output.json))
    try await catalog.withAudit { catalog in
      try await catalog.diff(from: from, to: to, onlySummary: onlySummary) { piece in
        printer.withLock { $0.take(piece) }
        return true
      }
    }
    printer.withLock { $0.end() }
  }
}

/// Writes the routes that differ as they come.
struct DiffPrinter: ~Copyable {
  private let limit: Int
  private let json: Bool
  private var points: [AuditPoint] = []
  private var document: StreamedDocument?
  private var table = TextTable(
    .left(""), .right("ROUTE"), .right("GROUP"), .left("START"), .left("END"), .left("CHANGE"))
  private var count = 0
  private var summary = DiffSummary()

  init(limit: Int, json: Bool) { (self.limit, self.json) = (limit, json) }

  mutating func take(_ piece: AuditPiece<ChangedRoute>) {
    switch piece {
    case .point(let point):
      points.append(point)
      if points.count == 2 { begin() }
    case .elements(let changes):
      for change in changes.prefix(limit - min(limit, count)) { add(change) }
      count += changes.count
    case .summary(let summary): self.summary = summary
    case .cut: break
    }
  }

  private mutating func begin() {
    guard json else { return }
    document = StreamedDocument(
      [("from", points[0].json), ("to", points[1].json)], list: "routes")
  }

  private mutating func add(_ change: ChangedRoute) {
    if let document { return document.add(change.json) }
    guard let route = change.after ?? change.before else { return }
    let what =
      if let before = change.before, let after = change.after {
        before.difference(to: after)
      } else {
        change.kind.name
      }
    table.add(
      change.kind.sign, change.id.description, route.group.description, quoted(route.span.lower),
      route.span.upper.map(quoted) ?? "∞", what)
  }

  mutating func end() {
    let total = summary.added + summary.removed + summary.changed
    let isCut = total > UInt64(clamping: limit)
    if let document {
      return document.end([("more", .bool(isCut))] + summary.fields)
    }
    let style = StandardStream.output.style
    var text = limit > 0 && total > 0 ? table.text(style: style) : ""
    if limit > 0, isCut { text += "\(grouped(limit)) shown, there are more (--all)\n" }
    text += summary.text(style: style)
    let counts = [
      (summary.added, "added"), (summary.removed, "removed"), (summary.changed, "changed"),
    ].map { "\(grouped($0)) \($1)" }.joined(separator: ", ")
    let points = points.map(\.text).joined(separator: " to ")
    StandardStream.output.write((text.isEmpty ? "" : text + "\n") + "\(counts), \(points)\n")
    StandardStream.output.flush()
  }
}
