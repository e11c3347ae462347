import ArgumentParser
import Catalog
import StateMachines

struct MergeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Merge neighbours: the left route of each pair takes in the right one.",
    discussion: """
      The two must touch and be of one group. All pairs are one command: all or nothing.

      Examples:
        cadastre merge 1 2 --log ./catalog
        cadastre merge 1 2 5 6 --reason "both are cold" --server host:4711
      """)

  @Argument(
    help: ArgumentHelp("Pairs of route ids: LEFT RIGHT, LEFT RIGHT, …", valueName: "id"),
    transform: parseRouteID)
  var routes: [RouteID]

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var write: WriteOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if !routes.count.isMultiple(of: 2) {
      throw ValidationError("routes come in pairs, LEFT RIGHT: \(routes.count) were given")
    }
  }

  func run() async throws {
    let pairs = stride(from: 0, to: routes.count, by: 2).map {
      MergeRequest(left: routes[$0], right: routes[$0 + 1])
    }
    try await catalog.submit(try write.command(.merge(pairs)), output: output)
  }
}
