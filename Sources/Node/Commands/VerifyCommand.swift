import ArgumentParser
import Catalog
import Replay

struct VerifyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Prove a log: hash chain, digests, indexes, and that the routes hold the keyspace.",
    discussion: """
      Ends with status 3 where something is not as it was written, and names the entry and what to \
      do. Note the head hash: a log that has it at that position later was only added to. Works \
      beside a server that writes the folder.

      Examples:
        cadastre verify --log ./catalog
        cadastre verify --log ./mirror --expect-digest 2c0eb05f… --json
      """)

  @OptionGroup var folder: FolderOptions

  @Option(
    help: ArgumentHelp("The digest that the state at the end must have.", valueName: "hex"),
    transform: parseDigest)
  var expectDigest: StateDigest?

  @OptionGroup var output: OutputOptions

  func run() async throws {
    let start = NodeClock.system.now()
    let summary = try verify()
    if let expectDigest, expectDigest != summary.digest {
      throw Problem(
        .damaged, code: "unexpected-digest",
        "the log is whole, but its state has the digest \(summary.digest), not \(expectDigest)",
        help: "compare the versions first: this one is \(summary.version); at the same version the "
          + "two logs tell different stories",
        details: [
          ("digest", .string(summary.digest.description)), ("version", JSON(summary.version)),
          ("position", JSON(summary.last)),
        ])
    }
    let seconds = (NodeClock.system.now() - start).inSeconds
    output.write(summary.json(seconds: seconds), else: summary.text(seconds: seconds))
  }

  private func verify() throws -> LogSummary {
    let bar = ReplayBar("verifying")
    defer { bar.finish() }
    do {
      let log = try EventLog.open(
        folder: try folder.folder(), mode: .readOnly, provesEnd: false)
      var verifier = Verifier(log)
      verifier.onProgress = bar.update
      verifier.isCancelled = { Task.isCancelled }
      return try verifier.verify()
    } catch let error as StoreError {
      throw Problem(error)
    }
  }
}

extension LogSummary {
  /// The summary as `--json` writes it.
  fileprivate func json(seconds: Double) -> JSON {
    var fields: [(name: String, value: JSON)] = [
      ("catalog", .string(catalog.description)),
      ("first_position", JSON(first)),
      ("position", JSON(last)),
      ("version", JSON(version)),
      ("head_hash", .string(headHash.description)),
    ]
    fields += JSON.fields("head_time", headTime)
    fields += [
      ("digest", .string(digest.description)),
      ("routes", JSON(routeCount)),
      ("entries", .number(entryCount)),
      ("events", .number(eventCount)),
      ("bytes", .number(byteCount)),
      ("seconds", .decimal(seconds)),
    ]
    return .object(fields)
  }

  /// The summary for people.
  fileprivate func text(seconds: Double) -> String {
    var facts = FactList()
    facts.add("proven", "the chain, every digest, the indexes; the routes hold the whole keyspace")
    facts.add("catalog", catalog)
    facts.add("entries", "\(first) to \(last), \(grouped(byteCount)) bytes")
    facts.add("version", version)
    facts.add("routes", grouped(routeCount))
    facts.add("digest", digest)
    facts.add("head hash", "\(headHash) at position \(last)")
    facts.add("last change", entryCount == 0 ? "none" : headTime.text + " UTC")
    facts.add("took", "\((seconds * 1000).rounded() / 1000) s")
    return facts.text(style: StandardStream.output.style)
  }
}
