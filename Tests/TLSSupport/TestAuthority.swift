import CadastreClient
import Crypto
import Foundation
import SwiftASN1
import X509

/// Signs the certificates of a test.
package struct TestAuthority {
  private let key = P256.Signing.PrivateKey()
  private let name: DistinguishedName
  /// In PEM.
  package let certificate: String

  package init(_ name: String = "test authority") throws {
    self.name = try DistinguishedName { CommonName(name) }
    certificate = try Self.pem(
      Certificate(
        version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey),
        notValidBefore: .now - 3600, notValidAfter: .now + 3600, issuer: self.name,
        subject: self.name, signatureAlgorithm: .ecdsaWithSHA256,
        extensions: try Certificate.Extensions {
          Critical(BasicConstraints.isCertificateAuthority(maxPathLength: nil))
          Critical(KeyUsage(keyCertSign: true))
        }, issuerPrivateKey: .init(key)))
  }

  /// A certificate and its key, both in PEM.
  package func issue(
    _ commonName: String, for names: [GeneralName] = Self.loopback,
    from: Date = .now - 3600, until: Date = .now + 3600
  ) throws -> (certificate: String, key: String) {
    let key = P256.Signing.PrivateKey()
    let certificate = try Certificate(
      version: .v3, serialNumber: .init(), publicKey: .init(key.publicKey), notValidBefore: from,
      notValidAfter: until, issuer: name, subject: try DistinguishedName { CommonName(commonName) },
      signatureAlgorithm: .ecdsaWithSHA256,
      extensions: try Certificate.Extensions {
        Critical(BasicConstraints.notCertificateAuthority)
        SubjectAlternativeNames(names)
      }, issuerPrivateKey: .init(self.key))
    return (try Self.pem(certificate), key.pemRepresentation)
  }

  /// What a node on this machine is called by.
  package static let loopback: [GeneralName] = [
    .dnsName("localhost"), .ipAddress(ASN1OctetString(contentBytes: [127, 0, 0, 1])),
  ]

  private static func pem(_ certificate: Certificate) throws -> String {
    try certificate.serializeAsPEM().pemString + "\n"
  }
}

/// A folder of certificates, keys and tokens of a test.
package final class SecretFolder: Sendable {
  private let folder = FileManager.default.temporaryDirectory
    .appending(path: "cadastre-secrets-\(UUID().uuidString)")

  package init() throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  package func path(_ name: String) -> String { folder.appending(path: name).path }

  /// Puts a file in the place of the one that is there.
  @discardableResult
  package func write(_ text: String, to name: String) throws -> String {
    try Data(text.utf8).write(to: URL(filePath: path(name)), options: .atomic)
    return path(name)
  }

  /// Writes a certificate and its key as `NAME.pem` and `NAME.key`.
  @discardableResult
  package func write(
    _ issued: (certificate: String, key: String), to name: String
  ) throws -> CertificateFiles {
    try CertificateFiles(
      certificate: write(issued.certificate, to: "\(name).pem"),
      key: write(issued.key, to: "\(name).key"))
  }
}

extension ClientSecurity {
  /// Trusts whom the file at `authority` names.
  package static func trusting(
    _ authority: String, certificate: CertificateFiles? = nil, token: String? = nil
  ) -> ClientSecurity {
    var security = ClientSecurity()
    security.isEncrypted = true
    security.authority = authority
    security.certificate = certificate
    security.token = token.map { .text($0) }
    return security
  }

  package static func token(_ text: String) -> ClientSecurity {
    var security = ClientSecurity()
    security.token = .text(text)
    return security
  }
}
