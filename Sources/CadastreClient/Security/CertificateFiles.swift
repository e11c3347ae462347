import Foundation
import GRPCCore
import NIOSSL

/// A certificate with its chain, and the key that belongs to it, in PEM files.
public struct CertificateFiles: Hashable, Sendable {
  /// The path of the certificate, with its chain.
  public var certificate: String
  /// The path of the key.
  public var key: String

  /// Names both files, which are read when a connection needs them.
  public init(certificate: String, key: String) {
    self.certificate = certificate
    self.key = key
  }

  package var paths: [String] { [certificate, key] }

  /// What is in them.
  ///
  /// - Throws: ``NodeError`` when one cannot be read, they do not belong together, or the certificate
  ///   is not valid now.
  package func load() throws(NodeError) -> (
    chain: [NIOSSLCertificateSource], key: NIOSSLPrivateKeySource
  ) {
    let chain = try certificates(in: certificate, "the certificate")
    let bytes = try contents(of: key, "the key")
    guard let key = try? NIOSSLPrivateKey(bytes: [UInt8](bytes), format: .pem) else {
      throw NodeError(
        .invalidArgument, reason: "key_malformed",
        "\(self.key) holds no private key in PEM, or one with a passphrase",
        remedy: "give the key of \(certificate), as `openssl pkey -in FILE` writes it")
    }
    if let problem = chain.first?.validityProblem {
      throw NodeError(
        .invalidArgument, reason: problem.reason, "the certificate \(certificate) \(problem.text)",
        remedy: "put a new one in its place")
    }
    let loaded = (
      chain: chain.map { NIOSSLCertificateSource.certificate($0) },
      key: NIOSSLPrivateKeySource.privateKey(key)
    )
    do {
      _ = try NIOSSLContext(
        configuration: .makeServerConfiguration(
          certificateChain: loaded.chain, privateKey: loaded.key))
    } catch {
      throw NodeError(
        .invalidArgument, reason: "key_mismatch",
        "the key \(self.key) does not belong to the certificate \(certificate)",
        remedy: "give the key that the certificate was asked for with")
    }
    return loaded
  }
}

/// The certificates in a PEM file, at least one.
///
/// - Throws: ``NodeError`` when it cannot be read or holds none; the error names `what`.
package func certificates(
  in path: String, _ what: String
) throws(NodeError) -> [NIOSSLCertificate] {
  let bytes = try contents(of: path, what)
  let certificates = (try? NIOSSLCertificate.fromPEMBytes([UInt8](bytes))) ?? []
  guard !certificates.isEmpty else {
    throw NodeError(
      .invalidArgument, reason: "certificate_malformed",
      "\(what) \(path) holds no certificate in PEM",
      remedy: "give a file with lines -----BEGIN CERTIFICATE-----")
  }
  return certificates
}

extension NIOSSLCertificate {
  /// Why it is not valid now; nil where it is. Reads the clock, as whoever checks the certificate does.
  package var validityProblem: (reason: String, text: String)? {
    let now = time(nil)
    let style = Date.ISO8601FormatStyle()
    func text(_ time: time_t) -> String {
      Date(timeIntervalSince1970: Double(time)).formatted(style)
    }
    if notValidAfter < now { return ("certificate_expired", "expired at \(text(notValidAfter))") }
    if notValidBefore > now {
      return ("certificate_not_yet_valid", "is not valid before \(text(notValidBefore))")
    }
    return nil
  }
}
