import Crypto

/// An Ed25519 public key: whose signature it is.
package struct PublicKey: FixedBytes {
  package static let byteCount = 32

  private let storage: InlineBytes32

  package var bytes: [UInt8] { storage.array }

  package init?(bytes: some Collection<UInt8>) {
    guard let storage = InlineBytes32(bytes) else { return nil }
    self.storage = storage
  }

  /// Whether `signature` is this key's for `message`. O(*n*) in its length; no bytes trap.
  package func isValid(_ signature: Signature, for message: [UInt8]) -> Bool {
    guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: bytes) else {
      return false
    }
    return key.isValidSignature(signature.bytes, for: message)
  }
}

/// An Ed25519 signature.
package struct Signature: FixedBytes {
  package static let byteCount = 64

  package let bytes: [UInt8]

  package init?(bytes: some Collection<UInt8>) {
    guard bytes.count == Self.byteCount else { return nil }
    self.bytes = Array(bytes)
  }
}

/// An Ed25519 private key, made of 32 random bytes that whoever keeps the key hands in.
package struct SigningKey: Sendable {
  package static let byteCount = 32

  private let key: Curve25519.Signing.PrivateKey

  /// Takes ``byteCount`` bytes; nil when there are more or fewer.
  package init?(bytes: some Collection<UInt8>) {
    guard bytes.count == Self.byteCount,
      let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: Array(bytes))
    else { return nil }
    self.key = key
  }

  package var bytes: [UInt8] { Array(key.rawRepresentation) }

  package var publicKey: PublicKey {
    guard let key = PublicKey(bytes: Array(key.publicKey.rawRepresentation)) else {
      preconditionFailure("a public key has 32 bytes")
    }
    return key
  }

  /// Signs `message`; nil when the cryptographic library cannot.
  package func signature(of message: [UInt8]) -> Signature? {
    (try? key.signature(for: message)).flatMap { Signature(bytes: Array($0)) }
  }
}

extension TrimMarker {
  /// Makes a marker and signs it for the log of `catalog`; nil when the policy is too long or the
  /// cryptographic library cannot sign.
  package init?(
    through: LogPosition, hash: EntryHash, version: CatalogVersion, digest: StateDigest,
    policy: String, of catalog: CatalogID, signedWith key: SigningKey
  ) {
    guard
      let message = Self.message(
        catalog: catalog, through: through, hash: hash, version: version, digest: digest,
        policy: policy),
      let signature = key.signature(of: message)
    else { return nil }
    self.init(
      through: through, hash: hash, version: version, digest: digest, policy: policy,
      publicKey: key.publicKey, signature: signature)
  }

  /// Whether the signature is that of the marker's public key, for the log of `catalog`. Whether the
  /// key is one to be trusted is for the reader to say.
  package func isSigned(for catalog: CatalogID) -> Bool {
    let message = Self.message(
      catalog: catalog, through: through, hash: hash, version: version, digest: digest,
      policy: policy)
    return message.map { publicKey.isValid(signature, for: $0) } ?? false
  }

  /// What is signed: the ASCII bytes `cadastre/trim/1`, the catalog's id, and the fields before the
  /// public key as the event has them.
  private static func message(
    catalog: CatalogID, through: LogPosition, hash: EntryHash, version: CatalogVersion,
    digest: StateDigest, policy: String
  ) -> [UInt8]? {
    var writer = ByteWriter(reserving: 160 + policy.utf8.count)
    writer.append(Array("cadastre/trim/1".utf8))
    writer.append(catalog.bytes)
    writer.varint(through.rawValue)
    writer.append(hash.bytes)
    writer.varint(version.rawValue)
    writer.append(digest.bytes)
    guard (try? writer.text(policy)) != nil else { return nil }
    return writer.bytes
  }
}
