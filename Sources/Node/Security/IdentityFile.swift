import CadastreClient
import Catalog
import Crypto
import Foundation
import GRPCCore

/// Who may call a node: the file that `--tokens` names.
///
/// A line for each credential, `#` begins a comment:
///
///     # name     role      credential                        expires
///     alice      operator  sha256:9f86d081884c7d659a2feaa0…  2027-01-01T00:00:00Z
///     tokyo-1    learner   san:tokyo-1.example
///
/// A token is told by the SHA-256 of its text, a client's certificate by its subject's common name
/// (`cn:`) or by one of its alternative names (`san:`). A name may have several credentials, of one
/// role: the old token and the new one while tokens are exchanged.
package struct IdentityFile: Equatable, Sendable {
  package struct Line: Equatable, Sendable {
    package var name: String
    package var role: AccessRole
    package var credential: Credential
    /// Milliseconds since 1970 from which on it is worth nothing; nil: it never expires.
    package var expiry: UInt64?

    package init(name: String, role: AccessRole, credential: Credential, expiry: UInt64? = nil) {
      self.name = name
      self.role = role
      self.credential = credential
      self.expiry = expiry
    }
  }

  package enum Credential: Hashable, Sendable {
    /// The 32 bytes of the digest of a token.
    case token([UInt8])
    case commonName(String)
    case alternativeName(String)
  }

  package var lines: [Line]

  /// - Throws: ``NodeError`` with the reason `identities_malformed`, which names the line of `file`.
  package init(_ text: String, file: String) throws(NodeError) {
    lines = []
    var roles: [String: AccessRole] = [:]
    var credentials: Set<Credential> = []
    for (index, text) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    {
      let words = text.prefix { $0 != "#" }.split { $0 == " " || $0 == "\t" || $0 == "\r" }
      guard !words.isEmpty else { continue }
      do throws(MalformedLine) {
        let line = try Line(words)
        if let role = roles.updateValue(line.role, forKey: line.name), role != line.role {
          throw MalformedLine(
            "\(line.name) is \(role.rawValue) further up: give each name one role")
        }
        guard credentials.insert(line.credential).inserted else {
          throw MalformedLine("the credential is on another line already: give each name its own")
        }
        lines.append(line)
      } catch {
        throw NodeError(
          .invalidArgument, reason: "identities_malformed",
          "\(file), line \(index + 1): \(error.problem)",
          remedy: "write NAME ROLE CREDENTIAL and, if it expires, when; "
            + "`cadastre token new` prints such a line")
      }
    }
  }
}

private struct MalformedLine: Error {
  var problem: String
  init(_ problem: String) { self.problem = problem }
}

extension IdentityFile.Line: CustomStringConvertible {
  /// The longest name: what the log keeps of an actor has more room.
  package static let maximumNameByteCount = 64

  /// Whether `name` can stand for an identity: letters, digits and `._@/-` of ASCII.
  package static func isName(_ name: some StringProtocol) -> Bool {
    (1...maximumNameByteCount).contains(name.utf8.count)
      && name.unicodeScalars.allSatisfy {
        $0.isASCII
          && ($0.properties.isAlphabetic || ("0"..."9").contains($0)
            || "._@/-".unicodeScalars.contains($0))
      }
  }

  fileprivate init(_ words: [Substring]) throws(MalformedLine) {
    guard (3...4).contains(words.count) else {
      throw MalformedLine("there are \(words.count) words, not three or four")
    }
    guard Self.isName(words[0]) else {
      throw MalformedLine(
        "\"\(words[0])\" is no name: use up to \(Self.maximumNameByteCount) letters, digits and ._@/-"
      )
    }
    guard let role = AccessRole(rawValue: String(words[1])) else {
      let roles = AccessRole.allCases.map(\.rawValue).joined(separator: ", ")
      throw MalformedLine("\"\(words[1])\" is no role: give one of \(roles)")
    }
    self.init(
      name: String(words[0]), role: role, credential: try IdentityFile.Credential(words[2]))
    guard words.count == 4 else { return }
    guard let date = try? Date(String(words[3]), strategy: .iso8601) else {
      throw MalformedLine("\"\(words[3])\" is no time: write it as 2027-01-01T00:00:00Z")
    }
    expiry = UInt64(max(0, date.timeIntervalSince1970 * 1000))
  }

  /// When it expires, as it stands in the file; nil where it never does.
  package var expiryText: String? {
    expiry.map { Date(timeIntervalSince1970: Double($0) / 1000).formatted(.iso8601) }
  }

  /// The line as it stands in the file.
  package var description: String {
    var words = [name, role.rawValue, credential.description]
    if let expiryText { words.append(expiryText) }
    return words.joined(separator: " ")
  }
}

extension IdentityFile.Credential: CustomStringConvertible {
  fileprivate init(_ word: Substring) throws(MalformedLine) {
    let parts = word.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[1].isEmpty else {
      throw MalformedLine("\"\(word)\" is no credential: write sha256:…, cn:… or san:…")
    }
    switch parts[0] {
    case "sha256":
      guard let digest = bytes(hexadecimal: parts[1]), digest.count == SHA256.byteCount else {
        throw MalformedLine("after sha256: stand 64 hexadecimal digits")
      }
      self = .token(digest)
    case "cn": self = .commonName(String(parts[1]))
    case "san": self = .alternativeName(String(parts[1]))
    default:
      throw MalformedLine("\"\(parts[0])\" is no kind of credential: write sha256, cn or san")
    }
  }

  package var description: String {
    switch self {
    case .token(let digest): "sha256:\(hexadecimal(digest))"
    case .commonName(let name): "cn:\(name)"
    case .alternativeName(let name): "san:\(name)"
    }
  }
}
