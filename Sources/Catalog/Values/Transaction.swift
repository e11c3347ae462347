/// Names a transaction: given by whoever coordinates it, never to a second one.
package struct TransactionID: FixedBytes, Comparable {
  package static let byteCount = 16

  private let storage: InlineBytes16

  package var bytes: [UInt8] { storage.array }

  package init?(bytes: some Collection<UInt8>) {
    guard let storage = InlineBytes16(bytes) else { return nil }
    self.storage = storage
  }

  /// In the order of the bytes.
  package static func < (left: TransactionID, right: TransactionID) -> Bool {
    withUnsafeBytes(of: left.storage) { left in
      withUnsafeBytes(of: right.storage) { left.lexicographicallyPrecedes($0) }
    }
  }

  /// Four bits of the id, the most significant ones of its first byte at index 0.
  ///
  /// - Precondition: 0 to 31.
  package func nibble(at index: Int) -> Int {
    withUnsafeBytes(of: storage) { bytes in
      Int(index.isMultiple(of: 2) ? bytes[index / 2] >> 4 : bytes[index / 2] & 0xF)
    }
  }
}

/// How a transaction ended: once, for ever.
package enum TransactionOutcome: Hashable, Sendable {
  /// With this timestamp; what it wrote is seen from there on.
  case committed(at: HybridTimestamp)
  case aborted
}

/// What is on record of a transaction.
package struct Transaction: Hashable, Sendable {
  package var id: TransactionID
  /// The groups that have a part in it, wherever their home is. None when it was aborted before it
  /// had begun.
  package var participants: GroupSet
  /// From this time of the log on it can no longer commit.
  package var expiry: HybridTimestamp
  /// nil as long as it is undecided.
  package var outcome: TransactionOutcome?

  package init(
    id: TransactionID, participants: GroupSet, expiry: HybridTimestamp,
    outcome: TransactionOutcome? = nil
  ) {
    self.id = id
    self.participants = participants
    self.expiry = expiry
    self.outcome = outcome
  }
}

extension TransactionOutcome: CustomStringConvertible {
  package var description: String {
    switch self {
    case .committed(let time): "committed at \(time)"
    case .aborted: "aborted"
    }
  }
}
