import ArgumentParser
import Catalog
import StateMachines

struct SetRegionsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "set-regions",
    abstract: "Change the regions in which replicas of routes may live.",
    discussion: """
      Examples:
        cadastre set-regions 3 4 --to eu-central,eu-west --reason "data residency" --log ./catalog
        cadastre set-regions 3 --anywhere --log ./catalog
      """)

  @Argument(help: ArgumentHelp("The routes.", valueName: "id"), transform: parseRouteID)
  var routes: [RouteID]

  @Option(
    name: .customLong("to"),
    help: ArgumentHelp("The regions, with commas between.", valueName: "regions"),
    transform: parseRegions)
  var regions: [Region] = []

  @Flag(help: "Allow every region.")
  var anywhere = false

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var write: WriteOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if regions.isEmpty != anywhere {
      throw ValidationError("give either --to REGION,REGION or --anywhere")
    }
  }

  func run() async throws {
    try await catalog.submit(
      try write.command(.setAllowedRegions(routes, to: regions)), output: output)
  }
}
