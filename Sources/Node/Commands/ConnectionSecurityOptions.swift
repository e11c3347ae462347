import CadastreClient
import ArgumentParser
import Foundation

/// Reads the name of a host.
@Sendable
func parseHostName(_ text: String) throws -> String {
  guard !text.isEmpty, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
    throw ValidationError("give the name of a host")
  }
  return text
}

/// Whom a command trusts when it calls a server, and how it says who it is.
struct ConnectionSecurityOptions: ParsableArguments {
  static let authorityVariable = "CADASTRE_CA"
  static let certificateVariable = "CADASTRE_CERT"
  static let keyVariable = "CADASTRE_KEY"
  static let serverNameVariable = "CADASTRE_SERVER_NAME"
  static let tokenVariable = "CADASTRE_TOKEN"
  static let tokenFileVariable = "CADASTRE_TOKEN_FILE"

  @Flag(
    inversion: .prefixedNo,
    help: "Encrypt, and trust whom the system trusts. Not needed with --ca or --cert.")
  var tls = false

  @Option(
    help: ArgumentHelp(
      "Encrypt, and trust those whose certificates are in this file. Default: $CADASTRE_CA.",
      valueName: "pem"), transform: parsePath)
  var ca: String?

  @Option(
    help: ArgumentHelp(
      "Show this certificate. Default: $CADASTRE_CERT, with $CADASTRE_KEY.", valueName: "pem"),
    transform: parsePath)
  var cert: String?

  @Option(help: ArgumentHelp("The key of --cert.", valueName: "pem"), transform: parsePath)
  var key: String?

  @Option(
    help: ArgumentHelp(
      "Expect a certificate for this host. Default: $CADASTRE_SERVER_NAME, or the host that is "
        + "called.", valueName: "host"), transform: parseHostName)
  var serverName: String?

  @Option(
    help: ArgumentHelp(
      "Send the token in the first line of this file. Default: $CADASTRE_TOKEN_FILE, or the token "
        + "in $CADASTRE_TOKEN.", valueName: "file"), transform: parsePath)
  var tokenFile: String?

  @Flag(inversion: .prefixedNo, help: "Send the token in plain text to other machines too.")
  var allowPlaintextToken = false

  mutating func validate() throws {
    if (cert == nil) != (key == nil) {
      throw ValidationError("--cert and --key belong together: give both")
    }
  }

  /// What was named, by option or else by environment.
  func security(
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws -> ClientSecurity {
    func variable(_ name: String) -> String? {
      environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }
    var security = ClientSecurity()
    security.authority = ca ?? variable(Self.authorityVariable)
    if let cert, let key {
      security.certificate = CertificateFiles(certificate: cert, key: key)
    } else {
      switch (variable(Self.certificateVariable), variable(Self.keyVariable)) {
      case (let cert?, let key?):
        security.certificate = CertificateFiles(certificate: cert, key: key)
      case (nil, nil): break
      default:
        throw ValidationError(
          "\(Self.certificateVariable) and \(Self.keyVariable) belong together: set both")
      }
    }
    security.serverName = serverName ?? variable(Self.serverNameVariable)
    security.isEncrypted =
      tls || security.authority != nil || security.certificate != nil
      || security.serverName != nil
    if let file = tokenFile ?? variable(Self.tokenFileVariable) {
      security.token = .file(file)
    } else if let text = variable(Self.tokenVariable) {
      security.token = .text(text)
    }
    security.allowsPlaintextToken = allowPlaintextToken
    return security
  }

  /// How to connect to a server.
  func connection() throws -> ConnectionOptions {
    var connection = ConnectionOptions()
    connection.security = try security()
    return connection
  }
}
