import ArgumentParser
import CadastreClient
import Catalog
import StateMachines

/// Where routes are, and should be.
struct PlacementCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "placement",
    abstract: "Look whether routes are where they are allowed.",
    subcommands: [PlacementCheckCommand.self])
}

struct PlacementCheckCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract:
      "List the routes whose group is at home where they are not allowed, or in a lost region.",
    discussion: "Ends with status 1 when there are any.")

  /// What a node lists at most.
  private static let maximumLimit = 10_000

  @Option(help: ArgumentHelp("List at most so many, up to 10000.", valueName: "n"))
  var limit = 1000

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let limit = limit
    let report =
      switch try catalog.place() {
      case .folder: PlacementReport(try await catalog.state(), limit: limit)
      case .server(let address, let connection):
        try await NodeClient.with(address, connection: connection) {
          try await $0.checkPlacement(limit: limit, deadline: .seconds(30))
        }
      }
    let (count, routeCount) = (report.violationCount, report.routeCount)
    output.write(
      [
        "version": JSON(report.version), "routes": .number(routeCount),
        "violations": .number(count), "listed": .array(report.listed.map(\.json)),
      ], else: text(report.listed, count, routeCount))
    guard count == 0 else {
      throw Problem(
        .failed, code: "misplaced",
        "\(grouped(count)) of \(grouped(routeCount)) routes are where they should not be",
        help: "move them to groups elsewhere, allow the region, or give the group another home")
    }
  }

  func validate() throws {
    guard (0...Self.maximumLimit).contains(limit) else {
      throw ValidationError("--limit takes 0 to \(Self.maximumLimit)")
    }
  }

  private func text(
    _ violations: [PlacementViolation], _ count: UInt64, _ routeCount: UInt64
  ) -> String {
    guard count > 0 else { return "\(grouped(routeCount)) routes, none misplaced\n" }
    var table = TextTable(
      .right("route"), .left("from"), .right("group"), .left("home"), .left("allowed"),
      .left("problem"))
    for violation in violations {
      let route = violation.route
      table.add(
        "\(route.id)", quoted(route.span.lower), "\(route.group)", violation.home.name,
        route.allowedRegions.isEmpty
          ? "anywhere" : route.allowedRegions.map(\.name).joined(separator: ","),
        violation.problem.text)
    }
    let rest = count - UInt64(violations.count)
    return table.text(style: StandardStream.output.style)
      + (rest > 0 ? "and \(grouped(rest)) more\n" : "")
  }
}

extension PlacementViolation {
  fileprivate var json: JSON {
    .object(
      [("route", JSON(route.id))] + JSON.fields("start", route.span.lower) + [
        ("group", JSON(route.group)), ("home", .string(home.name)),
        ("allowed_regions", .array(route.allowedRegions.map { .string($0.name) })),
        ("problem", .string(problem.text)),
      ])
  }
}

extension PlacementViolation.Problem {
  fileprivate var text: String {
    switch self {
    case .notAllowed: "not-allowed"
    case .inLostRegion: "region-lost"
    }
  }
}
