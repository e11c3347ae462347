import Foundation
import GRPCCore
import NIOSSL

/// Whom a client trusts, and how it says who it is.
public struct ClientSecurity: Hashable, Sendable {
  /// Whether connections are encrypted at all.
  public var isEncrypted = false
  /// A PEM file with the certificates that vouch for servers; nil: those that the system trusts.
  public var authority: String?
  /// How the client proves who it is, where servers ask for that.
  public var certificate: CertificateFiles?
  /// The name that a server's certificate must be for; nil: the host that is connected to.
  public var serverName: String?
  /// The token that goes with every call.
  public var token: TokenSource?
  /// Sends the token in plain text to other machines too.
  public var allowsPlaintextToken = false

  /// Plain text, and no token.
  public init() {}

  /// Where a token comes from.
  public enum TokenSource: Hashable, Sendable {
    case text(String)
    /// The first line of a file, which is read again when it changes.
    case file(String)
  }
}

extension ClientSecurity {
  /// What connections are encrypted with, kept in step with its files; nil where they are not.
  ///
  /// - Throws: ``NodeError`` when a file cannot be used.
  func makeContext() throws(NodeError) -> WatchedFiles<NIOSSLContext>? {
    guard isEncrypted else { return nil }
    let (authority, certificate) = (authority, certificate)
    let paths = [authority].compactMap(\.self) + (certificate?.paths ?? [])
    return try WatchedFiles(paths) { () throws(NodeError) in
      var configuration = TLSConfiguration.makeClientConfiguration()
      configuration.minimumTLSVersion = .tlsv12
      configuration.applicationProtocols = ["h2"]
      if let authority {
        let trusted = try certificates(in: authority, "the file of trusted certificates")
        configuration.trustRoots = .certificates(trusted)
      }
      if let certificate {
        let (chain, key) = try certificate.load()
        (configuration.certificateChain, configuration.privateKey) = (chain, key)
      }
      do {
        return try NIOSSLContext(configuration: configuration)
      } catch {
        throw NodeError(.invalidArgument, reason: "tls", "TLS cannot be set up: \(error)")
      }
    }
  }

  /// The token, kept in step with its file; nil where there is none.
  ///
  /// - Throws: ``NodeError`` when there is none in the file, or it must not go to `address`.
  func makeToken(for address: NodeAddress) throws(NodeError) -> WatchedFiles<String>? {
    guard let token else { return nil }
    guard isEncrypted || allowsPlaintextToken || address.isLoopback else {
      throw NodeError(
        .invalidArgument, reason: "token_in_plain_text",
        "a token would go to \(address) in plain text, for everybody on the way to read",
        remedy: "encrypt with --tls or --ca, or allow it in so many words with "
          + "--allow-plaintext-token")
    }
    switch token {
    case .text(let text):
      return try WatchedFiles([]) { () throws(NodeError) in try Self.check(text) }
    case .file(let path):
      return try WatchedFiles([path]) { () throws(NodeError) in
        let text = String(decoding: try contents(of: path, "the file of the token"), as: UTF8.self)
        return try Self.check(String(text.prefix { !$0.isNewline }))
      }
    }
  }

  private static func check(_ text: String) throws(NodeError) -> String {
    let text = text.trimmingCharacters(in: .whitespaces)
    guard (1...1024).contains(text.utf8.count), text.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
    else {
      throw NodeError(
        .invalidArgument, reason: "token_malformed",
        "the token is empty, longer than 1,024 bytes, or has blanks in it",
        remedy: "give a token as `cadastre token new` prints it")
    }
    return text
  }
}
