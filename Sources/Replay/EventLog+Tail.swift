import Catalog
import Synchronization

extension EventLog {
  /// Reads where the log ends, proves it, and lets the writer go on from there.
  func findTail() throws(StoreError) {
    let tail = try environment.read { transaction throws(StoreError) -> Tail in
      try self.tail(in: transaction)
    }
    if mode == .readWrite { writerTail.withLock { $0 = tail } }
  }

  /// Where the log ends: the last entry decodes, and continues the one before it.
  func tail(in transaction: borrowing LMDB.ReadTransaction) throws(StoreError) -> Tail {
    let base = try baseHeader(in: transaction)
    let start = Tail(
      position: base?.position ?? .zero, hash: base?.hash ?? .genesis(of: catalog),
      version: base?.version ?? .zero)
    let last = try transaction.last(in: tables.entries) { (key, bytes) throws(StoreError) in
      try EventLog.decode(bytes, at: EventLog.position(key, expected: start.position.next))
    }
    guard let last else { return start }
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
    return Tail(position: position, hash: last.hash, version: last.entry.version)
  }
}
