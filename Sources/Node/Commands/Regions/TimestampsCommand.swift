import ArgumentParser
import CadastreClient
import Catalog
import Foundation
import StateMachines

struct TimestampsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "timestamps",
    abstract: "Take timestamps of a group's clock from the node that leads it.",
    subcommands: [TimestampsNextCommand.self])
}

struct TimestampsNextCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "next",
    abstract: "Take the next timestamps of a group: after all that were ever issued for it.",
    discussion: """
      A node that does not lead the group names the one that does, and that one is asked.

      Examples:
        cadastre timestamps next --group 7 --server 127.0.0.1:4711
        cadastre timestamps next --group 7 --count 10 --json --server 127.0.0.1:4711
      """)

  @Option(help: ArgumentHelp("The group.", valueName: "id"), transform: parseGroupID)
  var group: GroupID

  @Option(help: ArgumentHelp("How many, at most 65,536.", valueName: "n"))
  var count = 1

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard (1...HybridClock.maximumBatchCount).contains(count) else {
      throw ValidationError("--count must be from 1 to 65,536")
    }
  }

  func run() async throws {
    let (count, group) = (count, group)
    let batch = try await server.withLeader {
      try await $0.nextTimestamps(count, of: group)
    }
    output.write(
      [
        "group": JSON(group), "first": JSON(batch.first), "last": JSON(batch.last),
        "count": JSON(batch.count),
      ],
      else: batch.count == 1
        ? "\(batch.first)\n" : "\(batch.first) to \(batch.last), \(batch.count) of them\n")
  }
}

/// A server, for commands that only one can carry out.
struct ServerOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("The server to ask. Default: $CADASTRE_SERVER.", valueName: "host:port"),
    transform: parseAddress)
  var server: NodeAddress?

  @OptionGroup(title: "Security") var security: ConnectionSecurityOptions

  /// The server that was named, by option or else by environment.
  func address(
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws -> NodeAddress {
    let named = environment[CatalogOptions.serverVariable].flatMap { $0.isEmpty ? nil : $0 }
    guard let address = try server ?? named.map(parseAddress) else {
      throw ValidationError(
        "no server is named: give --server HOST:PORT, or set \(CatalogOptions.serverVariable)")
    }
    return address
  }

  /// Runs a client of the server for as long as `body` takes.
  func withClient<Result: Sendable>(
    _ body: @Sendable (NodeClient) async throws -> Result
  ) async throws -> Result {
    try await NodeClient.with(try address(), connection: try security.connection(), body)
  }

  /// Like ``withClient(_:)``, and where the server names another node as the leader, that one's: once.
  func withLeader<Result: Sendable>(
    _ body: @Sendable (NodeClient) async throws -> Result
  ) async throws -> Result {
    try await NodeClient.atLeader(
      from: try address(), connection: try security.connection(), body)
  }
}
