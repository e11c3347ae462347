/// What the sum of a state's records has to be after an entry, where that is found out later.
package struct DigestExpectation: Sendable {
  package var position: LogPosition
  package var version: CatalogVersion
  package var nextRouteID: RouteID
  /// The sum of all records but those of routes and the header.
  package var others: StateDigest
  package var expected: StateDigest

  package init(
    position: LogPosition, version: CatalogVersion, nextRouteID: RouteID, others: StateDigest,
    expected: StateDigest
  ) {
    self.position = position
    self.version = version
    self.nextRouteID = nextRouteID
    self.others = others
    self.expected = expected
  }
}

/// The first entry after which the records do not sum up to what it says.
package struct Divergence: Hashable, Sendable {
  package var position: LogPosition
  package var expected: StateDigest
  package var found: StateDigest
}

/// Records of routes that come and go, not hashed yet, with what the sums are to be in between.
struct RecordBatch: Sendable {
  /// So many bytes are gathered: few enough to be in a cache still when they are hashed.
  static let capacity = 1 << 16

  /// For each record its length, four bytes of which the lowest bit tells whether it comes or goes,
  /// and its bytes.
  private var bytes: [UInt8] = []
  /// Each with the length of ``bytes`` that it is about.
  private var expectations: [(byteCount: Int, expectation: DigestExpectation)] = []

  var byteCount: Int { bytes.count }
  var isEmpty: Bool { bytes.isEmpty && expectations.isEmpty }

  mutating func add(_ record: UnsafeRawBufferPointer, isThere: Bool) {
    if bytes.capacity == 0 { bytes.reserveCapacity(Self.capacity + 4096) }
    withUnsafeBytes(of: UInt32(record.count << 1 | (isThere ? 1 : 0))) {
      bytes.append(contentsOf: $0)
    }
    bytes.append(contentsOf: record)
  }

  mutating func add(_ expectation: DigestExpectation) {
    expectations.append((bytes.count, expectation))
  }

  /// Takes account of the records in `sum`, the sum of those of routes; `whole` makes that of the
  /// whole state of it.
  func fold(
    into sum: inout StateDigest, whole: (StateDigest, DigestExpectation) -> StateDigest
  ) -> Divergence? {
    bytes.withUnsafeBytes { bytes in
      var offset = 0
      func take(until end: Int) {
        while offset < end {
          let head = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
          let start = offset + 4
          offset = start + Int(head >> 1)
          let digest = StateDigest(
            ofRecord: UnsafeRawBufferPointer(rebasing: bytes[start..<offset]))
          if head & 1 == 1 { sum += digest } else { sum -= digest }
        }
      }
      for (byteCount, expectation) in expectations {
        take(until: byteCount)
        let found = whole(sum, expectation)
        guard found == expectation.expected else {
          return Divergence(
            position: expectation.position, expected: expectation.expected, found: found)
        }
      }
      take(until: bytes.count)
      return nil
    }
  }
}
