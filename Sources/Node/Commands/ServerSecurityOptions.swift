import CadastreClient
import ArgumentParser

/// How a node proves who it is, and whom it lets in.
struct ServerSecurityOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Serve TLS with this certificate and its chain; read again when it changes.",
      valueName: "pem"), transform: parsePath)
  var tlsCert: String?

  @Option(help: ArgumentHelp("The key of --tls-cert.", valueName: "pem"), transform: parsePath)
  var tlsKey: String?

  @Option(
    help: ArgumentHelp(
      "Take certificates of callers that are signed by those in this file.", valueName: "pem"),
    transform: parsePath)
  var clientCA: String?

  @Flag(inversion: .prefixedNo, help: "Refuse callers without a certificate.")
  var requireClientCert = false

  @Option(
    help: ArgumentHelp(
      "Let in those whom this file names alone, each by role; read again when it changes.",
      discussion: "See `cadastre token --help`.", valueName: "file"), transform: parsePath)
  var tokens: String?

  @Flag(inversion: .prefixedNo, help: "Take tokens in plain text from other machines too.")
  var allowPlaintextTokens = false

  mutating func validate() throws {
    if (tlsCert == nil) != (tlsKey == nil) {
      throw ValidationError("--tls-cert and --tls-key belong together: give both")
    }
  }

  var security: ServerSecurity {
    var security = ServerSecurity()
    if let tlsCert, let tlsKey {
      security.certificate = CertificateFiles(certificate: tlsCert, key: tlsKey)
    }
    security.clientAuthority = clientCA
    security.requiresClientCertificate = requireClientCert
    security.identities = tokens
    security.allowsPlaintextTokens = allowPlaintextTokens
    return security
  }
}

/// How much of a node its callers may take.
struct ConnectionLimitOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The most connections at a time.", valueName: "n"))
  var maxConnections = ConnectionLimits().connections

  @Option(help: ArgumentHelp("The most calls at a time on one connection.", valueName: "n"))
  var maxStreams = ConnectionLimits().streamsPerConnection

  @Option(
    help: ArgumentHelp("The longest message that a caller may send.", valueName: "bytes"))
  var maxMessage = ConnectionLimits().messageByteCount

  @Option(
    help: ArgumentHelp(
      "How long a caller may be silent in the middle of its greeting, a frame, or the head of a "
        + "call. Default: 20s.", valueName: "duration"), transform: parseDuration)
  var connectionPatience: Duration?

  mutating func validate() throws {
    for (name, value, range) in [
      ("--max-connections", maxConnections, 1...1_000_000),
      ("--max-streams", maxStreams, 1...1_000_000),
      ("--max-message", maxMessage, 1024...(1 << 30)),
    ] where !range.contains(value) {
      throw ValidationError(
        "\(name) must be from \(range.lowerBound) to \(range.upperBound)")
    }
  }

  var limits: ConnectionLimits {
    var limits = ConnectionLimits()
    limits.connections = maxConnections
    limits.streamsPerConnection = maxStreams
    limits.messageByteCount = maxMessage
    if let connectionPatience { limits.patience = max(connectionPatience, .milliseconds(100)) }
    return limits
  }
}
