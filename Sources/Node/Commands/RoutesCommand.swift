import ArgumentParser
import CadastreClient
import Catalog

struct RoutesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "routes",
    abstract: "List routes: all, those of a span, of a group, or by id.",
    discussion: """
      Examples:
        cadastre routes --log ./catalog
        cadastre routes --span usr/lib usr/lic --all --json --server host:4711
        cadastre routes --group 12 --limit 20 --log ./catalog
        cadastre routes --id 1 --id 2 --log ./catalog
      """)

  @OptionGroup var selection: SelectorOptions
  @OptionGroup var limits: LimitOptions
  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var read: ReadOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let selector = try selection.selector()
    let demand = read.demand
    // Who names routes wants to hear of each.
    let limit = selection.ids.isEmpty ? limits.maximum : Int.max
    let place = try catalog.place()
    let listing = try await catalog.withReader {
      try await $0.routes(selector, limit: limit, demand: demand)
    }
    if case .ids(let wanted) = selector {
      let missing = Set(wanted).subtracting(listing.routes.map(\.id)).sorted()
      guard missing.isEmpty else {
        throw Problem(
          .notFound, code: "no-such-route",
          "no route has the id \(missing.map(\.description).joined(separator: ", "))",
          help: "`cadastre log --events` tells what became of a route that is no more",
          details: [
            ("routes", .array(missing.map { JSON($0) })), ("version", JSON(listing.stamp.version)),
          ])
      }
    }
    if output.json {
      // Written route by route: the text of a million of them need not be held at once.
      let head = JSON.object(listing.stamp.fields + [("more", .bool(listing.hasMore))])
      StandardStream.output.write(String(head.description.dropLast()) + ",\"routes\":[")
      for (index, route) in listing.routes.enumerated() {
        StandardStream.output.write((index > 0 ? "," : "") + route.json.description)
      }
      StandardStream.output.writeLine("]}")
    } else {
      var table = TextTable.routes()
      for route in listing.routes { table.add(route) }
      StandardStream.output.write(table.text(style: StandardStream.output.style))
      let count = grouped(listing.routes.count) + (listing.routes.count == 1 ? " route" : " routes")
      StandardStream.output.writeLine(
        "\(count)\(listing.hasMore ? " shown, there are more (--all)" : ""), \(listing.stamp.text(at: place))"
      )
    }
  }
}
