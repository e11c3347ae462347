import ArgumentParser
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

  @Option(help: ArgumentHelp("List at most so many.", valueName: "n"))
  var limit = 1000

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let state = try await catalog.state()
    let (violations, count, routeCount) = state.placementViolations(limit: max(0, limit))
    output.write(
      [
        "version": JSON(state.version), "routes": JSON(routeCount), "violations": JSON(count),
        "listed": .array(violations.map(\.json)),
      ], else: text(violations, count, routeCount))
    guard count == 0 else {
      throw Problem(
        .failed, code: "misplaced",
        "\(grouped(count)) of \(grouped(routeCount)) routes are where they should not be",
        help: "move them to groups elsewhere, allow the region, or give the group another home")
    }
  }

  private func text(_ violations: [PlacementViolation], _ count: Int, _ routeCount: Int) -> String {
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
    let rest = count - violations.count
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
