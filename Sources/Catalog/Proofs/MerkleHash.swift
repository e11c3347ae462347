import Crypto

/// A node of one of the Merkle trees of `FORMAT.md`: the SHA-256 of a leaf's bytes behind a 0, or of
/// two nodes behind a 1, so that no leaf is taken for a node.
package struct MerkleHash: FixedBytes {
  package static let byteCount = 32

  private let storage: InlineBytes32

  package var bytes: [UInt8] { storage.array }

  package init?(bytes: some Collection<UInt8>) {
    guard let storage = InlineBytes32(bytes) else { return nil }
    self.storage = storage
  }

  private init(_ hasher: consuming SHA256) {
    storage = hasher.finalize().withUnsafeBytes(InlineBytes32.init(load:))
  }

  /// Thirty-two zero bytes: a part of the routes' tree without routes.
  package static let empty = MerkleHash(zeros: ())

  private init(zeros: Void) {
    storage = withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { buffer in
      buffer.initializeMemory(as: UInt8.self, repeating: 0)
      return InlineBytes32(load: UnsafeRawBufferPointer(buffer))
    }
  }

  /// The root of the log's tree without entries: the SHA-256 of nothing.
  package static let emptyLog = MerkleHash(SHA256())

  /// The leaf with these bytes. O(*n*) in their number.
  package init(leaf bytes: UnsafeRawBufferPointer) {
    var hasher = SHA256()
    withUnsafeBytes(of: UInt8(0)) { hasher.update(bufferPointer: $0) }
    hasher.update(bufferPointer: bytes)
    self.init(hasher)
  }

  /// The leaf with these bytes. O(*n*) in their number.
  package init(leaf bytes: [UInt8]) {
    self = bytes.withUnsafeBytes(MerkleHash.init(leaf:))
  }

  /// The node above two others.
  package init(_ left: MerkleHash, _ right: MerkleHash) {
    var hasher = SHA256()
    withUnsafeBytes(of: UInt8(1)) { hasher.update(bufferPointer: $0) }
    withUnsafeBytes(of: left.storage) { hasher.update(bufferPointer: $0) }
    withUnsafeBytes(of: right.storage) { hasher.update(bufferPointer: $0) }
    self.init(hasher)
  }
}
