import ArgumentParser
import Catalog
import Foundation
import Replay
import StateMachines

struct AuditProveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prove",
    abstract: "Write a small file that proves what the route of a key was at a version.",
    discussion: """
      Who has the file and trusts the hash of one entry of the log, the head, checks it with \
      check-proof and needs nothing else. Works on a folder beside whoever writes it, or asks a \
      server, whose word for the head is not to be taken: compare it with a head that you noted, or \
      give one with --head.

      Examples:
        cadastre audit prove usr/bin/env --at 120 --out env.proof --log ./catalog
        cadastre audit prove usr/bin/env --at 120 --out env.proof --server host:4711
        cadastre audit prove usr/bin/env --at 2026-08-01 --head 4000 --out env.proof --log ./catalog
      """)

  @Argument(help: ArgumentHelp("The key.", valueName: "key"), transform: parseKey)
  var key: Key

  @Option(
    help: ArgumentHelp("The version, by number or by a time.", valueName: "version|time"),
    transform: parseAsOf)
  var at: AsOf

  @Option(
    help: ArgumentHelp(
      "The entry whose hash the checker trusts. Default: the last one.", valueName: "position"),
    transform: parsePosition)
  var head: LogPosition?

  @Option(help: ArgumentHelp("The file to write.", valueName: "file"), transform: parsePath)
  var out: String

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let (key, at, head) = (key, at, head)
    let (proof, proven) = try await catalog.withAudit {
      try await $0.prove(key, asOf: at, head: head)
    }
    let bytes: [UInt8]
    do {
      bytes = try proof.encoded()
      try Data(bytes).write(to: URL(filePath: out), options: .atomic)
    } catch {
      throw Problem(
        .failed, code: "not-written", "the proof cannot be written to \(out)",
        help: "\(error.localizedDescription)")
    }
    output.write(
      proven.json.adding([
        "file": .string(out), "bytes": JSON(bytes.count),
        "entries": JSON(proof.runs.reduce(0) { $0 + $1.entries.count }),
      ]),
      else: proven.text(
        then: "check it with: cadastre audit check-proof \(out) --head "
          + "\(proven.headHash)@\(proven.head)"))
  }
}

extension Problem {
  /// Says why there is no proof.
  init(_ error: ProverError) {
    switch error {
    case .store(let error): self.init(error)
    case .versionInFuture(_, let newest):
      self.init(
        .notFound, code: "version-in-future", "\(error)",
        help: "ask for a version up to \(newest)")
    case .noRoutes:
      self.init(
        .notFound, code: "no-routes", "\(error)", help: "ask for version 1 or a later one")
    case .versionNotRetained:
      self.init(
        .notFound, code: "not-retained", "\(error)",
        help: "ask a folder whose log goes back further, or for a later version")
    case .headNotRetained, .headBeforeVersion:
      self.init(
        .refused, code: "bad-head", "\(error)",
        help: "leave --head out to prove it for the last entry")
    case .noCommitment:
      self.init(
        .notFound, code: "no-commitment", "\(error)",
        help: "ask the leader's folder, or one whose log begins with the first entry")
    case .doesNotHold:
      self.init(.damaged, code: "damaged", "\(error)", help: "run cadastre audit verify")
    }
  }
}

extension ProvenRoute {
  /// What was proven, as `--json` writes it.
  var json: JSON {
    .object(
      JSON.fields("key", key) + [
        ("version", JSON(version)), ("route", route.json), ("head_position", JSON(head)),
        ("head_hash", .string(headHash.description)), ("head_version", JSON(headVersion)),
      ] + JSON.fields("head_time", headTime))
  }

  /// What was proven, for people.
  func text(then last: String? = nil) -> String {
    var facts = FactList()
    facts.add("proven", "the route of \(quoted(key)) at version \(version)")
    facts.add("route", route.id)
    facts.add(
      "span", "\(quoted(route.span.lower)) to \(route.span.upper.map { quoted($0) } ?? "∞")")
    facts.add("group", route.group)
    facts.add("state", route.state)
    facts.add(
      "regions",
      route.allowedRegions.isEmpty
        ? "anywhere" : route.allowedRegions.map(\.name).joined(separator: ", "))
    facts.add("so since", "version \(route.version), \(route.changedAt.text) UTC")
    facts.add("in the log of", "\(headHash) at position \(head)")
    facts.add("head", "version \(headVersion), \(headTime.text) UTC")
    return facts.text(style: StandardStream.output.style) + (last.map { $0 + "\n" } ?? "")
  }
}
