import CadastreClient
import ArgumentParser
import Crypto
import Foundation

struct TokenCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "token",
    abstract:
      "Make tokens for those who call a server, and lines for the file that it knows them by.",
    discussion: """
      A server that was started with --tokens FILE lets in those alone whom the file names, a line \
      each: name, role, credential and, if it expires, when. The credential is the digest of a token, \
      or a name in a client's certificate.

        alice    operator  sha256:9f86d081884c7d65…    2027-01-01T00:00:00Z
        tokyo-1  learner   san:tokyo-1.example
        probe    reader    cn:probe

      A reader asks. An operator asks and changes. A learner is a node that follows: it asks, copies \
      the log, and passes on what its own callers want to change, in their names. The name is what \
      the log keeps as the author of what its holder changes.
      """,
    subcommands: [TokenNewCommand.self, TokenCheckCommand.self])
}

struct TokenNewCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "new",
    abstract: "Make a token, and print the line for the server's file.",
    discussion: """
      The token is shown once, or written to a file that only this user may read; the server's file \
      holds no more than its digest.

      Examples:
        cadastre token new --name alice --role operator
        cadastre token new --name tokyo-1 --role learner --expires-in 90d --out tokyo-1.token >> tokens
      """)

  @Option(help: ArgumentHelp("Whose it is.", valueName: "name"), transform: parseIdentityName)
  var name: String

  @Option(
    help: ArgumentHelp("What its holder may do: reader, operator or learner.", valueName: "role"),
    transform: parseRole)
  var role: AccessRole

  @Option(
    help: ArgumentHelp(
      "After how long it is worth nothing. Default: never.", valueName: "duration"),
    transform: parseDuration)
  var expiresIn: Duration?

  @Option(
    help: ArgumentHelp(
      "Write the token to this new file, and print the line alone.", valueName: "file"),
    transform: parsePath)
  var out: String?

  @OptionGroup var output: OutputOptions

  func run() throws {
    let token = Token.random()
    let line = IdentityFile.Line(
      name: name, role: role, credential: token.credential,
      expiry: expiresIn.map { NodeClock.system.wallMilliseconds() + $0.wholeMilliseconds })
    if let out { try write(token, to: out) }
    output.write(
      [
        "name": .string(name), "role": .string(role.rawValue), "line": .string("\(line)"),
        "token": out == nil ? .string(token.text) : .null, "file": JSON(out),
      ],
      else: out == nil ? "token  \(token.text)\nline   \(line)\n" : "\(line)\n")
  }

  /// Writes a token where only this user reads it.
  private func write(_ token: Token, to path: String) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else {
      let reason = String(cString: strerror(errno))
      throw Problem(
        .failed, code: "file-exists", "\(path) cannot be made: \(reason)",
        help: "name a new file in a folder that may be written to")
    }
    let handle = FileHandle(fileDescriptor: file, closeOnDealloc: true)
    try handle.write(contentsOf: Data("\(token.text)\n".utf8))
    try handle.close()
  }
}

struct TokenCheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Say what is wrong with a file of those who may call, and whom it lets in.",
    discussion: """
      Examples:
        cadastre token check ./tokens
      """)

  @Argument(help: ArgumentHelp("The file.", valueName: "file"), transform: parsePath)
  var file: String

  @OptionGroup var output: OutputOptions

  func run() throws {
    let lines: [IdentityFile.Line]
    do {
      let text = String(decoding: try contents(of: file, "the file of identities"), as: UTF8.self)
      lines = try IdentityFile(text, file: file).lines
    } catch {
      throw Problem(describing: error)
    }
    var table = TextTable(.left("NAME"), .left("ROLE"), .left("CREDENTIAL"), .left("EXPIRES"))
    for line in lines {
      table.add(
        line.name, line.role.rawValue, line.credential.summary, line.expiryText ?? "never")
    }
    output.write(
      .array(
        lines.map { line in
          [
            "name": .string(line.name), "role": .string(line.role.rawValue),
            "credential": .string(line.credential.description), "expires": JSON(line.expiryText),
          ]
        }), else: table.text(style: StandardStream.output.style))
  }
}

/// What a caller says to be let in.
package struct Token: Sendable {
  /// So that whoever finds one, a scanner of secrets say, knows what it is.
  private static let prefix = "cad_"

  package let text: String

  /// A token of 256 random bits.
  package static func random() -> Token {
    let bytes = SymmetricKey(size: .bits256).withUnsafeBytes { Data($0) }
    let text = bytes.base64EncodedString()
      .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    return Token(text: prefix + text)
  }

  /// What a server's file holds of it.
  package var credential: IdentityFile.Credential {
    .token(Array(SHA256.hash(data: Data(text.utf8))))
  }
}

extension IdentityFile.Credential {
  /// For a table: digests are cut short.
  fileprivate var summary: String {
    if case .token = self { return "\(description.prefix(15))…" }
    return description
  }
}

/// Reads the name of an identity.
@Sendable
func parseIdentityName(_ text: String) throws -> String {
  guard IdentityFile.Line.isName(text) else {
    throw ValidationError(
      "use up to \(IdentityFile.Line.maximumNameByteCount) letters, digits and ._@/-")
  }
  return text
}

/// Reads the name of a role.
@Sendable
func parseRole(_ text: String) throws -> AccessRole {
  guard let role = AccessRole(rawValue: text) else {
    throw ValidationError(
      "give one of \(AccessRole.allCases.map(\.rawValue).joined(separator: ", "))")
  }
  return role
}
