import ArgumentParser
import Foundation

/// The register of a keyspace, on the command line.
@main
struct Cadastre: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cadastre",
    abstract:
      "The register of a range-sharded keyspace: which group owns which keys, and since when.",
    discussion: """
      The log is the truth: every change is an entry of it, chained by hash and checked by digest. \
      A catalog lives in a folder. A command works on the folder itself (--log DIR), or asks a \
      server (--server HOST:PORT); the environment variables CADASTRE_LOG and CADASTRE_SERVER \
      say where when neither is given.

      A first walk:
        cadastre init ./catalog
        cadastre split --at m --log ./catalog
        cadastre resolve apple zebra --log ./catalog
        cadastre serve --log ./catalog --region home

      Keys are bytes. On the command line and in output \\xNN stands for the byte NN and \\\\ for a \
      backslash; everything else is UTF-8 text.

      With --json every command writes one JSON document to standard output, or a line for each \
      item where it streams. Errors go to standard error, as {"error": …} with --json.

      Exit status:
      \(ExitStatus.table)
      """,
    groupedSubcommands: [
      CommandGroup(name: "Make a catalog:", subcommands: [InitCommand.self, ImportCommand.self]),

      CommandGroup(
        name: "Serve it:",
        subcommands: [
          ServeCommand.self, ConfigCommand.self, TokenCommand.self, ClusterCommand.self,
        ]),
      CommandGroup(
        name: "Ask it:",
        subcommands: [
          ResolveCommand.self, RoutesCommand.self, StatusCommand.self, WatchCommand.self,
        ]),
      CommandGroup(
        name: "Change it:",
        subcommands: [
          SplitCommand.self, MergeCommand.self, MoveCommand.self, SetStateCommand.self,
          SetRegionsCommand.self,
        ]),
      CommandGroup(
        name: "Read its log:",
        subcommands: [LogCommand.self, ReplayCommand.self, VerifyCommand.self]),
      CommandGroup(
        name: "Members and regions:",
        subcommands: [MembersCommand.self, PlacementCommand.self, RecoverCommand.self]),
      CommandGroup(name: "Keep it:", subcommands: [TrimCommand.self, RepairCommand.self]),
      CommandGroup(name: "Ask its past:", subcommands: [AuditCommand.self]),
      CommandGroup(
        name: "Keep its time:", subcommands: [TimestampsCommand.self, RegionsCommand.self]),
    ])

  static func main() async {
    let arguments = Array(CommandLine.arguments.dropFirst())
    do {
      var command = try parseAsRoot(
        ServeSettings.completed(
          arguments, environment: ProcessInfo.processInfo.environment))
      if let command = command as? ServeCommand {
        // A node has its own way to end at a signal.
        try await command.run()
      } else if let command = command as? any AsyncParsableCommand {
        try await Interruption.run(command)
      } else {
        try command.run()
      }
      StandardStream.output.flush()
    } catch {
      StandardStream.output.flush()
      end(with: error, arguments: arguments)
    }
  }

  /// Says what is wrong and ends the process with the status for it.
  private static func end(with error: any Error, arguments: [String]) -> Never {
    let wantsJSON = arguments.prefix { $0 != "--" }.contains("--json")
    let isUsage = error is Problem ? false : exitCode(for: error) == .validationFailure
    if !(error is Problem), !isUsage, exitCode(for: error).isSuccess {
      // `--help` and its like: the parser writes them itself.
      exit(withError: error)
    }
    let problem: Problem
    if isUsage {
      problem = Problem(usage: fullMessage(for: error))
    } else {
      problem = Problem(describing: error)
    }
    if wantsJSON {
      StandardStream.error.writeLine(problem.json.description)
    } else {
      StandardStream.error.write(problem.text(style: StandardStream.error.style))
      StandardStream.error.flush()
    }
    Foundation.exit(problem.status.rawValue)
  }
}
