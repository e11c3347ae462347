import NIOCore
import NIOSSL

/// Why two sides could not agree on a connection, in our words.
package struct TLSProblem: Error, Hashable, Sendable {
  /// A stable name, such as `certificate_expired`.
  package var reason: String
  package var message: String
  package var remedy: String

  package init(reason: String, _ message: String, remedy: String) {
    self.reason = reason
    self.message = message
    self.remedy = remedy
  }

  /// Every reason why there is no connection.
  package static let reasons: Set<String> = [
    "certificate_for_other_host", "certificate_expired", "certificate_not_yet_valid",
    "certificate_not_trusted", "certificate_required", "certificate_refused",
    "server_in_plain_text", "server_wants_tls", "closed_in_handshake", "tls",
  ]

  /// The problem of a client whose handshake with `server` failed by `error`.
  ///
  /// `certificate` is the server's own, as far as it came that far; `name` is what it must be for.
  package init(
    _ error: any Error, at server: String, certificate: NIOSSLCertificate?, name: String
  ) {
    let text = "\(error)"
    switch error {
    case is NIOSSLExtraError, NIOSSLError.unableToValidateCertificate:
      let names = certificate.map(Self.names) ?? []
      self.init(
        reason: "certificate_for_other_host",
        "the certificate of \(server) is for \(names.isEmpty ? "nobody" : names.joined(separator: ", "))"
          + ", not for \(name)",
        remedy: "connect by one of its names, or say with --server-name which one to expect")
    case _ where text.contains("CERTIFICATE_VERIFY_FAILED"):
      if let problem = certificate?.validityProblem {
        self.init(
          reason: problem.reason, "the certificate of \(server) \(problem.text)",
          remedy: "have the server's certificate renewed, and look at the clocks of both machines")
      } else {
        self.init(
          reason: "certificate_not_trusted",
          "the certificate of \(server) is signed by nobody who is trusted here",
          remedy: "give the certificate of its signer with --ca")
      }
    case _ where text.contains("WRONG_VERSION_NUMBER") || text.contains("HTTP_REQUEST"):
      self.init(
        reason: "server_in_plain_text", "\(server) does not speak TLS",
        remedy: "leave out --tls, --ca and --cert, or have the server serve TLS")
    case _ where text.contains("CERTIFICATE_REQUIRED"):
      self.init(
        reason: "certificate_required", "\(server) asks callers for a certificate",
        remedy: "give one that it trusts with --cert and --key")
    case _ where text.contains("CERTIFICATE_EXPIRED"):
      self.init(
        reason: "certificate_expired", "\(server) refuses this client's certificate: it expired",
        remedy: "renew the certificate that is given with --cert")
    case _
    where text.contains("UNKNOWN_CA") || text.contains("BAD_CERTIFICATE")
      || text.contains("CERTIFICATE_UNKNOWN") || text.contains("CERTIFICATE_REVOKED")
      || text.contains("UNSUPPORTED_CERTIFICATE"):
      self.init(
        reason: "certificate_refused",
        "\(server) refuses this client's certificate: it trusts nobody who signed it",
        remedy:
          "give one with --cert and --key that is signed by an authority that the server trusts")
    case NIOSSLError.uncleanShutdown, NIOSSLError.handshakeFailed(.zeroReturn),
      _ where text.contains("EOF during handshake"):
      self.init(
        reason: "closed_in_handshake",
        "\(server) closed the connection in the middle of the handshake",
        remedy: "look into the server's log for the reason; it may want a certificate")
    default:
      self.init(
        reason: "tls", "no encrypted connection to \(server) came about: \(text)",
        remedy: "look at the certificates of both sides")
    }
  }

  /// The names that a certificate is for.
  private static func names(_ certificate: NIOSSLCertificate) -> [String] {
    certificate._subjectAlternativeNames().compactMap { name in
      switch name.nameType {
      case .dnsName: String(decoding: name.contents, as: UTF8.self)
      case .ipAddress:
        // Four bytes, or sixteen.
        name.contents.count == 4
          ? name.contents.map(String.init).joined(separator: ".")
          : (try? SocketAddress(packedIPAddress: ByteBuffer(bytes: Array(name.contents)), port: 0))?
            .ipAddress
      default: nil
      }
    }
  }
}
