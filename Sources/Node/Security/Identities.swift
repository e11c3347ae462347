import Catalog
import Crypto

/// The identities of a file, ready to be asked.
package struct Identities: Sendable {
  /// What is known of one who showed a credential.
  package enum Match: Equatable, Sendable {
    case known(Caller)
    case expired(name: String)
    case unknown
  }

  private var tokens: [UInt64: [IdentityFile.Line]] = [:]
  private var names: [IdentityFile.Credential: IdentityFile.Line] = [:]
  /// How many credentials there are.
  package private(set) var count = 0

  package init(_ file: IdentityFile) {
    count = file.lines.count
    for line in file.lines {
      switch line.credential {
      case .token(let digest): tokens[Self.bucket(of: digest), default: []].append(line)
      case .commonName, .alternativeName: names[line.credential] = line
      }
    }
  }

  /// The holder of a token, at a time in milliseconds since 1970.
  ///
  /// The whole digests are compared in constant time. How long the way to them takes tells at most
  /// some bits of a digest, and of that nobody comes back to a token of 256 random bits.
  package func holder(ofToken token: some StringProtocol, at now: UInt64) -> Match {
    let digest = SHA256.hash(data: Array(token.utf8))
    var match = Match.unknown
    for line in tokens[Self.bucket(of: digest)] ?? [] {
      guard case .token(let known) = line.credential, digest == known else { continue }
      match = line.match(at: now)
    }
    return match
  }

  /// The holder of a certificate that was verified.
  package func holder(of certificate: PeerCertificate, at now: UInt64) -> Match {
    for name in certificate.alternativeNames {
      if let line = names[.alternativeName(name)] { return line.match(at: now) }
    }
    guard let name = certificate.commonName, let line = names[.commonName(name)] else {
      return .unknown
    }
    return line.match(at: now)
  }

  private static func bucket(of digest: some Sequence<UInt8>) -> UInt64 {
    digest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
  }
}

extension IdentityFile.Line {
  fileprivate func match(at now: UInt64) -> Identities.Match {
    if let expiry, now >= expiry { return .expired(name: name) }
    return .known(Caller(name: name, role: role))
  }
}
