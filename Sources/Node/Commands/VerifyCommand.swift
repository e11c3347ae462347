import ArgumentParser
import Catalog
import Foundation
import Replay

struct VerifyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Prove a log: chain, digests, checkpoints, commitments, and that the routes tile.",
    discussion: """
      Ends with status 3 where something is not as it was written, and names the entry and what to \
      do. Note the head hash: a log that has it at that position later was only added to, which \
      --expect checks. The summary is signed with the folder's key, where it has one. Works beside a \
      server that writes the folder.

      Examples:
        cadastre verify --log ./catalog
        cadastre verify --log ./catalog --expect ea89bc18…7ddb@4000 --sign
        cadastre verify --log ./mirror --expect-digest 2c0eb05f… --json
      """)

  @OptionGroup var folder: FolderOptions

  @Option(
    help: ArgumentHelp("The digest that the state at the end must have.", valueName: "hex"),
    transform: parseDigest)
  var expectDigest: StateDigest?

  @Option(
    help: ArgumentHelp(
      "A head that was noted earlier, which must be in the log still. May be given several times.",
      valueName: "hash@position"),
    transform: parseHead)
  var expect: [TrustedHead] = []

  @Flag(help: "Make a key for the folder where it has none, and sign the summary with it.")
  var sign = false

  @OptionGroup var output: OutputOptions

  func validate() throws {
    if expect.contains(where: { $0.position == nil }) {
      throw ValidationError("--expect needs the position too: HASH@POSITION")
    }
  }

  func run() async throws {
    let start = NodeClock.system.now()
    let (summary, key) = try verify()
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
    let signature = key.flatMap { key in
      key.signature(of: summary.signedMessage).map { (key.publicKey, $0) }
    }
    output.write(
      summary.json(seconds: seconds, expected: expect.count, signature),
      else: summary.text(seconds: seconds, expected: expect.count, signature))
  }

  private func verify() throws -> (LogSummary, SigningKey?) {
    let bar = ReplayBar("verifying")
    defer { bar.finish() }
    do {
      let log = try EventLog.open(
        folder: try folder.folder(), mode: .readOnly, provesEnd: false)
      // What was noted comes first: a log of another history may be whole.
      for head in expect { try check(head, in: log) }
      let checkpoints = try CheckpointStore.open(
        folder: log.folder, mode: .readOnly, catalog: log.catalog)
      var verifier = Verifier(log, checkpoints: checkpoints)
      verifier.partCount = max(1, ProcessInfo.processInfo.activeProcessorCount)
      verifier.onProgress = bar.update
      verifier.isCancelled = { Task.isCancelled }
      let summary = try verifier.verify()
      let key =
        sign
        ? try SigningKeyFile.ofNode(in: log.folder)
        : try? SigningKeyFile.load(from: log.folder)
      return (summary, key)
    } catch let error as StoreError {
      throw Problem(error)
    }
  }
}

extension VerifyCommand {
  /// That the log has the entry that was noted.
  private func check(_ head: TrustedHead, in log: EventLog) throws {
    guard let position = head.position else { return }
    let found = try log.hash(at: position)
    guard found != head.hash else { return }
    let details: [(name: String, value: JSON)] = [
      ("position", JSON(position)), ("expected", .string(head.hash.description)),
      ("found", JSON(found?.description)),
    ]
    guard let found else {
      let (first, last) = (try log.firstPosition(), try log.lastPosition())
      throw Problem(
        position > last ? .damaged : .notFound,
        code: position > last ? "entry-missing" : "not-retained",
        "entry \(position) is not in the log, which has entries \(first) to \(last)",
        help: position > last
          ? "entries that were there are gone: restore the log from a mirror or an export"
          : "it was trimmed: note a later head", details: details)
    }
    throw Problem(
      .damaged, code: "unexpected-hash",
      "entry \(position) has the hash \(found), and \(head.hash) was noted: the record was changed",
      help: "compare the log with a mirror: cadastre audit diff --with", details: details)
  }
}

extension LogSummary {
  /// The summary as `--json` writes it.
  fileprivate func json(
    seconds: Double, expected: Int, _ signature: (key: PublicKey, signature: Signature)?
  ) -> JSON {
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
      ("checkpoints", JSON(checkpointCount)),
      ("checkpoints_of_other_histories", JSON(foreignCheckpointCount)),
      ("commitments", JSON(commitmentCount)),
      ("commitments_unchecked", JSON(uncheckedCommitmentCount)),
      (
        "trims",
        .array(
          markers.map {
            [
              "through": JSON($0.through), "version": JSON($0.version),
              "policy": .string($0.policy), "public_key": .string($0.publicKey.description),
            ]
          })
      ),
      ("expected", JSON(expected)),
      ("public_key", JSON(signature?.key.description)),
      ("signature", JSON(signature?.signature.description)),
      ("seconds", .decimal(seconds)),
    ]
    return .object(fields)
  }

  /// The summary for people.
  fileprivate func text(
    seconds: Double, expected: Int, _ signature: (key: PublicKey, signature: Signature)?
  ) -> String {
    var facts = FactList()
    facts.add("proven", "the chain, every digest, the indexes; the routes hold the whole keyspace")
    facts.add("catalog", catalog)
    facts.add("entries", "\(first) to \(last), \(grouped(byteCount)) bytes")
    facts.add("version", version)
    facts.add("routes", grouped(routeCount))
    facts.add("digest", digest)
    facts.add("head hash", "\(headHash) at position \(last)")
    facts.add("last change", entryCount == 0 ? "none" : headTime.text + " UTC")
    if checkpointCount + foreignCheckpointCount > 0 {
      let foreign = foreignCheckpointCount
      facts.add(
        "checkpoints",
        grouped(checkpointCount)
          + (foreign > 0 ? ", and \(grouped(foreign)) that the log does not vouch for" : ""))
    }
    let unchecked = uncheckedCommitmentCount
    facts.add(
      "commitments",
      grouped(commitmentCount)
        + (unchecked > 0 ? ", and \(grouped(unchecked)) to entries that are gone" : ""))
    for marker in markers {
      facts.add("trimmed", "through \(marker.through), signed by \(marker.publicKey)")
    }
    if expected > 0 {
      facts.add(
        "expected",
        expected == 1 ? "the head noted is in it" : "the \(expected) heads noted are in it")
    }
    facts.add("signed by", signature.map { "\($0.key)" } ?? "unsigned: --sign makes a key")
    if let signature { facts.add("signature", signature.signature) }
    facts.add("took", "\((seconds * 1000).rounded() / 1000) s")
    return facts.text(style: StandardStream.output.style)
  }
}
