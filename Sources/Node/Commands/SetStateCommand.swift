import ArgumentParser
import Catalog
import StateMachines

struct SetStateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "set-state",
    abstract: "Change what may be done with routes.",
    discussion: """
      States: active, write-fenced (reads only), migrating-source, migrating-target, soft-failed.

      Example:
        cadastre set-state 3 --to write-fenced --reason "hand-over" --log ./catalog
      """)

  @Argument(help: ArgumentHelp("The routes.", valueName: "id"), transform: parseRouteID)
  var routes: [RouteID]

  @Option(
    name: .customLong("to"), help: ArgumentHelp("Their new state.", valueName: "state"),
    transform: parseRouteState)
  var state: RouteState

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var write: WriteOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await catalog.submit(
      try write.command(.setState(routes, to: state)), output: output)
  }
}
