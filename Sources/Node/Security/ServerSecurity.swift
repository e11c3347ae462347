import CadastreClient
import GRPCCore
import NIOSSL

/// How a node proves to its callers who it is, and what it asks of them.
package struct ServerSecurity: Hashable, Sendable {
  /// The node's certificate; nil: it serves in plain text.
  package var certificate: CertificateFiles?
  /// A PEM file with the certificates that vouch for callers; nil: callers show none.
  package var clientAuthority: String?
  /// Refuses callers without a certificate. Else those that have one may show it.
  package var requiresClientCertificate = false
  /// The file of those who may call; nil: whoever reaches the node.
  package var identities: String?
  /// Takes tokens in plain text from other machines too.
  package var allowsPlaintextTokens = false
  /// How often the files are looked at for changes.
  package var lookInterval: Duration = .seconds(1)

  package init() {}

  package var isEncrypted: Bool { certificate != nil }

  /// Why a node must not serve like this on `address`; nil where it may.
  func problem(listeningOn address: NodeAddress) -> NodeError? {
    if !isEncrypted, clientAuthority != nil {
      return NodeError(
        .invalidArgument, reason: "tls_options",
        "callers have no certificates where nothing is encrypted",
        remedy: "give the node's own certificate too, with --tls-cert and --tls-key")
    }
    if requiresClientCertificate, clientAuthority == nil {
      return NodeError(
        .invalidArgument, reason: "tls_options",
        "callers must have a certificate, and nobody says who vouches for them",
        remedy: "name the file of those who do with --client-ca")
    }
    if identities != nil, !isEncrypted, !address.isLoopback, !allowsPlaintextTokens {
      return NodeError(
        .invalidArgument, reason: "token_in_plain_text",
        "tokens would come to \(address) in plain text, for everybody on the way to read",
        remedy: "encrypt with --tls-cert and --tls-key, or allow it in so many words with "
          + "--allow-plaintext-tokens")
    }
    return nil
  }

  /// Whether whoever reaches the node may do everything.
  var isOpenToAll: Bool { identities == nil && !requiresClientCertificate }

  /// What connections are encrypted with, kept in step with its files; nil in plain text.
  ///
  /// - Throws: ``NodeError`` when a file cannot be used.
  func makeContext() throws(NodeError) -> WatchedFiles<NIOSSLContext>? {
    guard let certificate else { return nil }
    let (authority, isRequired) = (clientAuthority, requiresClientCertificate)
    let paths = certificate.paths + [authority].compactMap(\.self)
    return try WatchedFiles(paths) { () throws(NodeError) in
      let (chain, key) = try certificate.load()
      var configuration = TLSConfiguration.makeServerConfiguration(
        certificateChain: chain, privateKey: key)
      configuration.minimumTLSVersion = .tlsv12
      configuration.applicationProtocols = ["h2"]
      if let authority {
        configuration.trustRoots = .certificates(
          try certificates(in: authority, "the file of callers' authorities"))
        configuration.certificateVerification =
          isRequired ? .noHostnameVerification : .optionalVerification
      }
      do {
        return try NIOSSLContext(configuration: configuration)
      } catch {
        throw NodeError(.invalidArgument, reason: "tls", "TLS cannot be set up: \(error)")
      }
    }
  }

  /// Those who may call, kept in step with their file; nil where anybody may.
  ///
  /// - Throws: ``NodeError`` when the file cannot be used.
  func makeIdentities() throws(NodeError) -> WatchedFiles<Identities>? {
    guard let path = identities else { return nil }
    return try WatchedFiles([path]) { () throws(NodeError) in
      let text = String(decoding: try contents(of: path, "the file of identities"), as: UTF8.self)
      return Identities(try IdentityFile(text, file: path))
    }
  }
}
