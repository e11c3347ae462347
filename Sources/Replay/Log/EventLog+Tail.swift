import Catalog
import StateMachines
import Synchronization

extension EventLog {
  /// What the first entry names as the entry before it.
  private var genesis: EntryHash {
    region.map { .genesis(of: catalog, region: $0) } ?? .genesis(of: catalog)
  }

  /// Reads where the log ends, proves it, and lets the writer go on from there.
  func findTail() throws(StoreError) {
    let tail = try environment.read { transaction throws(StoreError) -> Tail in
      try self.tail(in: transaction)
    }
    if mode == .readWrite { writerTail.withLock { $0 = tail } }
  }

  /// Lets the writer go on after `state`, which was made of the whole log.
  package func goOn(after state: CatalogState) {
    writerTail.withLock {
      $0 = Tail(position: state.appliedThrough, hash: state.lastHash, version: state.version)
    }
  }

  /// Where the log ends: the last entry decodes, continues the one before it, and is the one that
  /// was written last.
  func tail(in transaction: borrowing LMDB.ReadTransaction) throws(StoreError) -> Tail {
    let base = try baseHeader(in: transaction)
    let start = Tail(
      position: base?.position ?? .zero, hash: base?.hash ?? genesis,
      version: base?.version ?? .zero)
    let head = try head(in: transaction) ?? start
    let last = try transaction.last(in: tables.entries) { (key, bytes) throws(StoreError) in
      try EventLog.decode(bytes, at: EventLog.position(key, expected: start.position.next))
    }
    guard let last, last.entry.position > start.position || base == nil else {
      // What a trim has yet to remove is not the log's any more.
      guard head == start else { throw .gap(expected: start.position.next, found: head.position) }
      return start
    }
    let position = last.entry.position
    guard position > start.position else {
      throw .damaged(position, .index("it lies before the state that the log begins after"))
    }
    let previous: EntryHash
    if position == start.position.next {
      previous = start.hash
    } else {
      let before = LogPosition(position.rawValue - 1)
      let hash = try transaction.value(of: before.rawValue, in: tables.entries) {
        EntryHash(of: $0)
      }
      guard let hash else { throw .gap(expected: before, found: position) }
      previous = hash
    }
    guard last.entry.previous == previous else { throw .damaged(position, .brokenChain) }
    guard position >= head.position else {
      throw .gap(expected: position.next, found: head.position)
    }
    let tail = Tail(position: position, hash: last.hash, version: last.entry.version)
    guard tail == head else { throw .damaged(position, .notTheHead(head.hash)) }
    return tail
  }

  /// What the log says that it ends with, whatever its entries say; nil before the first write.
  package func writtenHead() throws(StoreError) -> Tail? {
    try environment.read { (transaction) throws(StoreError) -> Tail? in
      try head(in: transaction)
    }
  }

  /// What the log says that it ends with; nil before the first write.
  func head(in transaction: borrowing LMDB.ReadTransaction) throws(StoreError) -> Tail? {
    try transaction.value(of: LogTables.MetaKey.head, in: tables.meta) {
      (bytes) throws(StoreError) in
      guard let tail = Tail(bytes) else {
        throw .damaged(
          try lastPosition(in: transaction), .index("the note of what was written last is none"))
      }
      return tail
    }
  }

  /// Notes what the log ends with, since the hash of the last entry stands in no other entry.
  func put(_ head: Tail, in transaction: borrowing LMDB.WriteTransaction) throws(StoreError) {
    try head.bytes.withRawBytes { (bytes) throws(StoreError) in
      try transaction.put(bytes, for: LogTables.MetaKey.head, in: tables.meta)
    }
  }
}

extension LogTail {
  private static let byteCount = 8 + EntryHash.byteCount + 8

  /// The fields in order, numbers little-endian.
  fileprivate var bytes: [UInt8] {
    withUnsafeBytes(of: position.rawValue.littleEndian, Array.init) + hash.bytes
      + withUnsafeBytes(of: version.rawValue.littleEndian, Array.init)
  }

  /// Reads what ``bytes`` writes; nil when it is not of that form.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count == Self.byteCount,
      let position = UInt64(stored: UnsafeRawBufferPointer(rebasing: bytes[..<8])),
      let hash = EntryHash(bytes: bytes[8..<40]),
      let version = UInt64(stored: UnsafeRawBufferPointer(rebasing: bytes[40...]))
    else { return nil }
    self.init(
      position: LogPosition(position), hash: hash, version: CatalogVersion(version))
  }
}
