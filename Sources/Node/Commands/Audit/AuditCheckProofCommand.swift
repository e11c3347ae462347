import ArgumentParser
import Catalog
import Foundation
import StateMachines

struct AuditCheckProofCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check-proof",
    abstract: "Check a proof against a head hash, without the log.",
    discussion: """
      Says what the proof proves, or ends with status 3 and the reason for which it proves nothing. \
      The head is the hash of an entry that you trust, as verify or a status prints it.

      Examples:
        cadastre audit check-proof env.proof --head ea89bc18…7ddb@4000
        cadastre audit check-proof env.proof --head ea89bc18…7ddb --json
      """)

  @Argument(help: ArgumentHelp("The proof.", valueName: "file"), transform: parsePath)
  var file: String

  @Option(
    help: ArgumentHelp("The head that you trust.", valueName: "hash[@position]"),
    transform: parseHead)
  var head: TrustedHead

  @OptionGroup var output: OutputOptions

  func run() async throws {
    let bytes: [UInt8]
    do {
      bytes = [UInt8](try Data(contentsOf: URL(filePath: file)))
    } catch {
      throw Problem(
        .notFound, code: "not-read", "the file \(file) cannot be read",
        help: "\(error.localizedDescription)")
    }
    let proven: ProvenRoute
    do {
      proven = try RouteProof.check(bytes, head: head.hash, at: head.position)
    } catch {
      throw Problem(
        .damaged, code: "proof-refused", "the proof proves nothing: \(error)",
        help: "check the head hash, or ask for another proof")
    }
    output.write(proven.json, else: proven.text())
  }
}
