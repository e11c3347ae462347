import NIOSSL
import SwiftASN1
import X509

/// Whom a caller's certificate, which was verified, is for.
package struct PeerCertificate: Hashable, Sendable {
  package var commonName: String?
  /// Names of hosts, URIs and addresses of mail, as they stand there.
  package var alternativeNames: [String]

  package init(commonName: String?, alternativeNames: [String]) {
    self.commonName = commonName
    self.alternativeNames = alternativeNames
  }

  /// - Throws: What parsing throws.
  init(_ certificate: NIOSSLCertificate) throws {
    let certificate = try Certificate(derEncoded: try certificate.toDERBytes())
    commonName = certificate.subject.lazy.flatMap { $0 }
      .first { $0.type == .RDNAttributeType.commonName }
      .flatMap { String($0.value) }
    alternativeNames =
      try certificate.extensions.subjectAlternativeNames.map { names in
        names.compactMap { name in
          switch name {
          case .dnsName(let name), .uniformResourceIdentifier(let name), .rfc822Name(let name): name
          default: nil
          }
        }
      } ?? []
  }
}

extension PeerCertificate: CustomStringConvertible {
  package var description: String {
    let names =
      [commonName.map { "cn:\($0)" }].compactMap(\.self) + alternativeNames.map { "san:\($0)" }
    return names.isEmpty ? "nobody by name" : names.joined(separator: ", ")
  }
}
