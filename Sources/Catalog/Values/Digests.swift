import Crypto

/// The SHA-256 of an entry's bytes, which name the entry before it: a chain.
package struct EntryHash: FixedBytes {
  package static let byteCount = 32

  private let storage: InlineBytes32

  package var bytes: [UInt8] { storage.array }

  package init?(bytes: some Collection<UInt8>) {
    guard let storage = InlineBytes32(bytes) else { return nil }
    self.storage = storage
  }

  /// Hashes `data`. O(*n*) in its length.
  package init(of data: UnsafeRawBufferPointer) {
    var hasher = SHA256()
    hasher.update(bufferPointer: data)
    storage = hasher.finalize().withUnsafeBytes(InlineBytes32.init(load:))
  }

  /// Reads 32 bytes.
  ///
  /// - Precondition: `data` has 32 bytes.
  init(load data: UnsafeRawBufferPointer) { storage = InlineBytes32(load: data) }

  /// Lends the 32 bytes.
  func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    withUnsafeBytes(of: storage, body)
  }

  /// What the first entry of a catalog's stream names as the entry before it:
  /// SHA-256 of `cadastre/stream/1` and the catalog's id.
  package static func genesis(of catalog: CatalogID) -> EntryHash {
    let seed = Array("cadastre/stream/1".utf8) + catalog.bytes
    return seed.withUnsafeBytes(EntryHash.init(of:))
  }
}

/// The sum, modulo 2^256, of the SHA-256 of each record of a state: equal states have equal
/// digests, whatever the order in which they were built and the shape of the trees that hold them.
///
/// A record's hash is read as a 256-bit little-endian number. Adding or removing a record costs one
/// hash. The sum tells replicas that they diverged; that nobody altered the record is shown by the
/// chain of ``EntryHash``es, which covers every digest.
package struct StateDigest: Hashable, Sendable {
  /// The digest of no records.
  package static let zero = StateDigest()

  // Least significant first.
  private var limbs: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

  private init() {}

  /// The digest of the one record with these bytes.
  package init(ofRecord data: UnsafeRawBufferPointer) {
    var hasher = SHA256()
    hasher.update(bufferPointer: data)
    self = hasher.finalize().withUnsafeBytes(StateDigest.init(load:))
  }

  /// Reads 32 bytes.
  ///
  /// - Precondition: `data` has 32 bytes.
  package init(load data: UnsafeRawBufferPointer) {
    precondition(data.count == 32)
    limbs = (
      UInt64(littleEndian: data.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
      UInt64(littleEndian: data.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
      UInt64(littleEndian: data.loadUnaligned(fromByteOffset: 16, as: UInt64.self)),
      UInt64(littleEndian: data.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
    )
  }

  package static func += (left: inout StateDigest, right: StateDigest) {
    var carry = false
    func add(_ a: UInt64, _ b: UInt64) -> UInt64 {
      let (partial, overflow) = a.addingReportingOverflow(b)
      let (sum, overflowOfCarry) = partial.addingReportingOverflow(carry ? 1 : 0)
      carry = overflow || overflowOfCarry
      return sum
    }
    left.limbs = (
      add(left.limbs.0, right.limbs.0), add(left.limbs.1, right.limbs.1),
      add(left.limbs.2, right.limbs.2), add(left.limbs.3, right.limbs.3)
    )
  }

  package static func -= (left: inout StateDigest, right: StateDigest) {
    var borrow = false
    func subtract(_ a: UInt64, _ b: UInt64) -> UInt64 {
      let (partial, overflow) = a.subtractingReportingOverflow(b)
      let (difference, overflowOfBorrow) = partial.subtractingReportingOverflow(borrow ? 1 : 0)
      borrow = overflow || overflowOfBorrow
      return difference
    }
    left.limbs = (
      subtract(left.limbs.0, right.limbs.0), subtract(left.limbs.1, right.limbs.1),
      subtract(left.limbs.2, right.limbs.2), subtract(left.limbs.3, right.limbs.3)
    )
  }

  package static func == (left: StateDigest, right: StateDigest) -> Bool {
    left.limbs == right.limbs
  }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(limbs.0)
    hasher.combine(limbs.1)
  }
}

extension StateDigest: FixedBytes {
  package static let byteCount = 32

  /// The sum as 32 little-endian bytes.
  package var bytes: [UInt8] {
    [limbs.0, limbs.1, limbs.2, limbs.3].flatMap { limb in
      withUnsafeBytes(of: limb.littleEndian, Array.init)
    }
  }

  package init?(bytes: some Collection<UInt8>) {
    guard bytes.count == Self.byteCount else { return nil }
    self = Array(bytes).withUnsafeBytes(StateDigest.init(load:))
  }
}
