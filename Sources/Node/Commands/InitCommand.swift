import ArgumentParser
import Catalog
import StateMachines

struct InitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init",
    abstract: "Make a new catalog in a folder.",
    discussion: """
      The new catalog has one route, number 1, that holds the whole keyspace. With --empty it has \
      none, until `import` fills it. A catalog that is there and has no routes yet, as after a run \
      that was broken off, gets its first one.

      With --member the catalog knows its first member from the start, and all that this release \
      can write is turned on: members, regions, and streams of regions for timestamps. Nodes of an \
      older release cannot join it then.

      Examples:
        cadastre init ./catalog --group 7
        cadastre routes --log ./catalog
        cadastre init ./catalog --member us-1 --region us-east
        cadastre serve --log ./catalog --member us-1 --region us-east --lead-region us-east
      """)

  @Argument(
    help: ArgumentHelp("The folder; it is made where there is none.", valueName: "dir"),
    transform: parsePath)
  var folder: String

  @Option(
    help: ArgumentHelp("The group that owns the one route. Default: 1.", valueName: "id"),
    transform: parseGroupID)
  var group: GroupID?

  @Flag(help: "Leave the catalog without routes.")
  var empty = false

  @Option(
    help: ArgumentHelp("The name of the node that will serve the catalog.", valueName: "name"),
    transform: parseMember)
  var member: MemberName?

  @Option(
    help: ArgumentHelp("With --member: the region that it is in.", valueName: "name"),
    transform: parseRegion)
  var region: Region?

  @OptionGroup var author: AuthorOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if (member == nil) != (region == nil) {
      throw ValidationError("a member is in a region: give both --member and --region")
    }
  }

  func run() async throws {
    let writer =
      empty
      ? try FolderWriter(creating: .random(), in: folder)
      : try await FolderWriter.withOneRoute(in: folder, group: group, by: author)
    defer { writer.close() }
    if let member, let region {
      // Its address is told by the node itself when it serves.
      for change in [
        .enable(.members), .join(member, address: "", region: region, capabilities: .known),
      ] + Capability.all.filter({ $0 != .members }).map({ .enable($0) }) as [MembershipChange] {
        _ = try await writer.submit(change, by: author)
      }
    }
    let state = writer.state
    let catalog = state.catalog
    output.write(
      [
        "folder": .string(folder), "catalog": .string(catalog.description),
        "position": JSON(state.appliedThrough), "version": JSON(state.version),
        "routes": JSON(state.routes.count), "digest": .string(state.digest.description),
      ],
      else: "catalog \(catalog) in \(folder), version \(state.version), "
        + (empty ? "no routes yet\n" : "route 1 holds the whole keyspace\n"))
  }
}

extension FolderWriter {
  /// Makes a catalog whose one route holds the whole keyspace; or goes on with one that is there and
  /// was left without routes.
  static func withOneRoute(
    in folder: String, group: GroupID?, by author: AuthorOptions
  ) async throws -> FolderWriter {
    let writer = try openOrCreate(in: folder)
    let seed = RouteSeedRequest(start: .least, group: group ?? GroupID(1))
    do {
      _ = try await writer.submit(
        Command(
          id: .random(), actor: author.actorOrUser, reason: author.reason,
          change: .bootstrap([seed])))
    } catch {
      writer.close()
      throw error
    }
    return writer
  }

  private static func openOrCreate(in folder: String) throws -> FolderWriter {
    do {
      return try FolderWriter(creating: .random(), in: folder)
    } catch let problem as Problem where problem.code == "log-exists" {
      let writer = try FolderWriter(folder: folder)
      guard writer.state.appliedThrough == .zero else {
        writer.close()
        throw problem
      }
      return writer
    }
  }
}

extension CatalogID {
  /// An id that nobody else draws.
  static func random() -> CatalogID {
    CatalogID(bytes: CommandID.random().bytes) ?? .random()
  }
}
