import CadastreClient

/// The files of one authority, of a server and of a client that it vouches for.
package struct TestCertificates: Sendable {
  package let secrets: SecretFolder
  /// The certificate of who signs.
  package let authority: String
  package let server: CertificateFiles
  package let client: CertificateFiles

  package init() throws {
    let signer = try TestAuthority()
    secrets = try SecretFolder()
    authority = try secrets.write(signer.certificate, to: "ca.pem")
    server = try secrets.write(signer.issue("server"), to: "server")
    client = try secrets.write(signer.issue("client"), to: "client")
  }

  /// The certificate of an authority that signed none of these.
  package func stranger() throws -> String {
    try secrets.write(TestAuthority("stranger").certificate, to: "stranger.pem")
  }
}
