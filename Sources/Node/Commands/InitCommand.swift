import ArgumentParser
import Catalog
import StateMachines

struct InitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init",
    abstract: "Make a new catalog in a folder.",
    discussion: """
      The new catalog has one route, number 1, that holds the whole keyspace. With --empty it has \
      none: that is how `import` and a server that is to be filled start.

      Example:
        cadastre init ./catalog --group 7
        cadastre routes --log ./catalog
      """)

  @Argument(help: ArgumentHelp("The folder; it is made, or must be empty.", valueName: "dir"))
  var folder: String

  @Option(
    help: ArgumentHelp("The group that owns the one route.", valueName: "id"),
    transform: parseGroupID)
  var group = GroupID(1)

  @Flag(help: "Leave the catalog without routes.")
  var empty = false

  @OptionGroup var author: AuthorOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let catalog = CatalogID.random()
    var receipt: CommandReceipt?
    try LocalCatalog.create(folder: folder, catalog: catalog)
    if !empty {
      let local = try LocalCatalog.openForWriting(folder: folder)
      receipt = try await local.submit(
        Command(
          id: .random(), actor: author.actorOrUser, reason: author.reason,
          change: .bootstrap([RouteSeedRequest(start: .least, group: group)])))
      await local.close()
    }
    let position = receipt?.position ?? .zero
    let version = receipt?.version ?? .zero
    output.write(
      [
        "folder": .string(folder), "catalog": .string(catalog.description),
        "position": JSON(position), "version": JSON(version), "routes": empty ? 0 : 1,
      ],
      else: """
        catalog \(catalog) in \(folder), version \(version), \
        \(empty ? "no routes yet" : "route 1 holds the whole keyspace")

        """)
  }
}

extension CatalogID {
  /// An id that nobody else draws.
  static func random() -> CatalogID {
    CatalogID(bytes: CommandID.random().bytes) ?? .random()
  }
}
