import ArgumentParser
import CadastreClient
import Catalog
import Foundation
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

      With --with, the first version is one of this catalog and the second one of the place that is \
      named, a folder or HOST:PORT: without a second the same is meant, without any the newest of \
      both. It is also said up to which entry the two logs are the same.

      Examples:
        cadastre audit diff 1200 1300 --log ./catalog
        cadastre audit diff 2026-08-01 2026-08-02 --summary --server host:4711
        cadastre audit diff 1200 --all --json --log ./catalog
        cadastre audit diff --with ./mirror --log ./catalog
        cadastre audit diff 1200 --with mirror:4711 --server host:4711
      """)

  @Argument(
    help: ArgumentHelp("The version to start from.", valueName: "version|time"),
    transform: parseAsOf)
  var from: AsOf?

  @Argument(
    help: ArgumentHelp("The version to get to. Default: the newest.", valueName: "version|time"),
    transform: parseAsOf)
  var to: AsOf?

  @Option(
    help: ArgumentHelp(
      "Compare with a version of another place: a folder, or a server.",
      valueName: "dir|host:port"),
    transform: parsePlace)
  var with: CatalogOptions.Place?

  @Flag(help: "Print the sums alone.")
  var summary = false

  @OptionGroup var limits: LimitOptions
  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if from == nil, with == nil {
      throw ValidationError("give a version to start from, or another place --with")
    }
  }

  func run() async throws {
    let onlySummary = summary
    let limit = onlySummary ? 0 : limits.maximum
    if var with {
      if case .server(let address, _) = with {
        with = .server(address, try catalog.security.connection())
      }
      return try await compare(with: with, limit: limit)
    }
    let (from, to) = (from ?? .newest, to ?? .newest)
    let printer = Mutex(DiffPrinter(limit: limit, json: output.json))
    try await catalog.withAudit { catalog in
      try await catalog.diff(from: from, to: to, onlySummary: onlySummary) { piece in
        printer.withLock { $0.take(piece) }
        return true
      }
    }
    printer.withLock { $0.end() }
  }

  private func compare(with place: CatalogOptions.Place, limit: Int) async throws {
    let (own, other) = (from ?? .newest, to ?? from ?? .newest)
    let json = output.json
    try await catalog.withAudit { here in
      try await CatalogOptions.withAudit(place) { there in
        let comparison = CatalogComparison(here: here, there: there)
        let ancestry = try await comparison.ancestry()
        let printer = Mutex(DiffPrinter(limit: limit, json: json, ancestry: ancestry))
        try await comparison.differences(ancestry, here: own, there: other) { piece in
          printer.withLock { $0.take(piece) }
          return true
        }
        printer.withLock { $0.end() }
      }
    }
  }
}

/// Reads a folder that is there, or else the address of a server.
@Sendable
func parsePlace(_ text: String) throws -> CatalogOptions.Place {
  let path = try parsePath(text)
  if FileManager.default.fileExists(atPath: path) { return .folder(path) }
  // What looks like no address is a folder that is not there, which says so itself.
  guard !path.contains("/"), path.contains(":") else { return .folder(path) }
  return .server(try parseAddress(path), ConnectionOptions())
}

/// Writes the routes that differ as they come.
struct DiffPrinter: ~Copyable {
  private let limit: Int
  private let json: Bool
  private let ancestry: CatalogComparison.Ancestry?
  private var points: [AuditPoint] = []
  private var document: StreamedDocument?
  private var table = TextTable(
    .left(""), .right("ROUTE"), .right("GROUP"), .left("START"), .left("END"), .left("CHANGE"))
  private var count = 0
  private var summary = DiffSummary()

  /// With an `ancestry` the versions are those of two logs.
  init(limit: Int, json: Bool, ancestry: CatalogComparison.Ancestry? = nil) {
    (self.limit, self.json, self.ancestry) = (limit, json, ancestry)
  }

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
    let names = ancestry == nil ? ["from", "to"] : ["here", "there"]
    document = StreamedDocument(
      (ancestry?.fields ?? []) + [(names[0], points[0].json), (names[1], points[1].json)],
      list: "routes")
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
    let names = ancestry == nil ? ["", " to "] : ["here ", ", there "]
    let points = zip(names, points).map { $0 + $1.text }.joined()
    if let ancestry { text = ancestry.text + "\n" + (text.isEmpty ? "" : "\n" + text) }
    StandardStream.output.write((text.isEmpty ? "" : text + "\n") + "\(counts), \(points)\n")
    StandardStream.output.flush()
  }
}
