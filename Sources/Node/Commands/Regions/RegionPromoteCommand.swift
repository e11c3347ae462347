import ArgumentParser
import CadastreClient
import CadastreProtocol
import Catalog
import StateMachines

struct RegionPromoteCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "promote",
    abstract: "Let a node lead the stream of a region that it mirrors, when its leader is gone.",
    discussion: """
      The node leads every group in a new term, above all that the leader before can have issued, \
      also in entries that never came here: they are lost, and recover plan says which. The region \
      has to be lost, where the catalog knows it, so that the old folder cannot lead again. A leader \
      that is cut off goes on issuing timestamps until it hears of that: stop it first, and say so \
      with --leader-stopped. Only one that was started with --catalog-limit stops by itself: once that \
      time has passed since the loss nobody's word is needed. Run again, it goes on where it was.

      Examples:
        cadastre members declare-lost --region tokyo --server 127.0.0.1:4711
        cadastre region promote tokyo --leader-stopped --server 127.0.0.1:4712
      """)

  @Argument(help: ArgumentHelp("The region.", valueName: "name"), transform: parseRegion)
  var region: Region

  @Flag(help: "The leader before has stopped, and is not started again from its folder.")
  var leaderStopped = false

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let (region, leaderStopped) = (region, leaderStopped)
    let answer = try await server.withClient {
      try await $0.promote(region, leaderStopped: leaderStopped)
    }
    output.write(
      [
        "region": .string(answer.region), "epoch": .number(answer.epoch),
        "position": .number(answer.position), "groups": .number(answer.groups),
        "floor": .string(HybridTimestamp(answer.floor).description),
        "wait_ms": .number(answer.waitMs),
      ],
      else: "leads the stream of region \(answer.region), \(grouped(answer.groups)) groups of it, "
        + "from \(HybridTimestamp(answer.floor)) on, epoch \(answer.epoch)"
        + (answer.waitMs > 0 ? ", after a wait of \(answer.waitMs) ms" : "") + "\n")
  }
}
