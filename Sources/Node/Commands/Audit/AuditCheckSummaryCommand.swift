import ArgumentParser
import Catalog
import Foundation
import Replay

struct AuditCheckSummaryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check-summary",
    abstract: "Check the signature of a summary that verify wrote, without the log.",
    discussion: """
      The file is what verify --sign --json printed. Says who signed what, or ends with status 3 \
      where the signature is not that of the key for these words. A key of anybody's choice stands in \
      the file: give the one that you trust with --key. Later, verify --expect tells whether the log \
      still has the head.

      Examples:
        cadastre verify --log ./catalog --sign --json > summary.json
        cadastre audit check-summary summary.json --key 8a88e3dd…3a1c
      """)

  @Argument(help: ArgumentHelp("The summary.", valueName: "file"), transform: parsePath)
  var file: String

  @Option(
    help: ArgumentHelp("The public key that must have signed it.", valueName: "hex"),
    transform: parsePublicKey)
  var key: PublicKey?

  @OptionGroup var output: OutputOptions

  func run() async throws {
    let summary = try SignedSummary(from: file)
    let (signature, signer) = try summary.signed()
    if let key, signer != key {
      throw Problem(
        .damaged, code: "other-signer", "the summary was signed by \(signer), not by \(key)",
        help: "compare the key with the one that the folder's owner names",
        details: [("public_key", .string(signer.description))])
    }
    let message = try summary.claim().signedMessage
    guard signer.isValid(signature, for: message) else {
      throw Problem(
        .damaged, code: "bad-signature",
        "the signature is not that of \(signer) for this summary: one of them was changed",
        help: "ask for the summary again")
    }
    let (json, text) = (
      try summary.json(signer: signer, isTrusted: key != nil),
      try summary.text(signer: signer, isTrusted: key != nil)
    )
    output.write(json, else: text)
  }
}

/// Reads a public key.
@Sendable
func parsePublicKey(_ text: String) throws -> PublicKey {
  guard let key = PublicKey(hexadecimal: text) else {
    throw ValidationError("give the \(PublicKey.byteCount * 2) hexadecimal digits of a public key")
  }
  return key
}

/// What is signed of a summary, as `verify --json` writes it.
private struct SignedSummary: Decodable {
  var catalog: String
  var position: UInt64
  var version: UInt64
  var headHash: String
  var headTimeMs: UInt64
  var headTimeCounter: UInt16
  var digest: String
  var publicKey: String?
  var signature: String?

  /// - Throws: ``Problem``.
  init(from file: String) throws {
    let data: Data
    do {
      data = try Data(contentsOf: URL(filePath: file))
    } catch {
      throw Problem(
        .notFound, code: "not-read", "the file \(file) cannot be read",
        help: "\(error.localizedDescription)")
    }
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do {
      self = try decoder.decode(Self.self, from: data)
    } catch {
      throw Self.malformed("\(file) is no summary that verify --json wrote")
    }
  }

  func signed() throws -> (Signature, PublicKey) {
    guard let signature, let publicKey else {
      throw Problem(
        .refused, code: "unsigned", "nobody signed the summary",
        help: "ask for one that was made with verify --sign --json")
    }
    guard let key = PublicKey(hexadecimal: publicKey),
      let made = Signature(hexadecimal: signature)
    else { throw Self.malformed("its key or its signature is none") }
    return (made, key)
  }

  /// What the summary says; what is not signed is left out.
  func claim() throws -> LogSummary {
    guard let catalog = CatalogID(hexadecimal: catalog),
      let hash = EntryHash(hexadecimal: headHash), let digest = StateDigest(hexadecimal: digest),
      headTimeMs <= HybridTimestamp.maximumMilliseconds
    else { throw Self.malformed("a hash, a digest or a time of the summary is none") }
    let last = LogPosition(position)
    return LogSummary(
      catalog: catalog, first: last, last: last, headHash: hash,
      headTime: HybridTimestamp(milliseconds: headTimeMs, counter: headTimeCounter),
      version: CatalogVersion(version), digest: digest)
  }

  func json(signer: PublicKey, isTrusted: Bool) throws -> JSON {
    let claim = try self.claim()
    var fields: [(name: String, value: JSON)] = [
      ("catalog", .string(claim.catalog.description)), ("position", JSON(claim.last)),
      ("head_hash", .string(claim.headHash.description)),
    ]
    fields += JSON.fields("head_time", claim.headTime)
    fields += [
      ("version", JSON(claim.version)), ("digest", .string(claim.digest.description)),
      ("public_key", .string(signer.description)), ("expected_key", .bool(isTrusted)),
    ]
    return .object(fields)
  }

  func text(signer: PublicKey, isTrusted: Bool) throws -> String {
    let claim = try self.claim()
    var facts = FactList()
    facts.add("signed", "that the log was proven and ended like this")
    facts.add("by", "\(signer)" + (isTrusted ? "" : ", which nobody vouched for: give --key"))
    facts.add("catalog", claim.catalog)
    facts.add("version", claim.version)
    facts.add("digest", claim.digest)
    facts.add("head hash", "\(claim.headHash) at position \(claim.last)")
    facts.add("last change", claim.headTime.text + " UTC")
    return facts.text(style: StandardStream.output.style)
  }

  private static func malformed(_ what: String) -> Problem {
    Problem(
      .usage, code: "malformed", what, help: "give what verify --sign --json printed, unchanged")
  }
}
