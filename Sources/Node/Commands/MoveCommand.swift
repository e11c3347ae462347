import ArgumentParser
import Catalog
import StateMachines

struct MoveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "move",
    abstract: "Give routes to another group.",
    discussion: """
      All routes are one command: all or nothing.

      Example:
        cadastre move 3 4 --to-group 12 --reason "drain group 3" --log ./catalog
      """)

  @Argument(help: ArgumentHelp("The routes.", valueName: "id"), transform: parseRouteID)
  var routes: [RouteID]

  @Option(help: ArgumentHelp("Their new group.", valueName: "id"), transform: parseGroupID)
  var toGroup: GroupID

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var write: WriteOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await catalog.submit(try write.command(.move(routes, to: toGroup)), output: output)
  }
}
