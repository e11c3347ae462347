import Catalog
import StateMachines
import Synchronization

extension CheckpointStore {
  /// The id that the next node gets: higher than all that roots were written with.
  func nextNodeID() throws(StoreError) -> UInt64 {
    try environment.read { transaction throws(StoreError) in try nextNodeID(in: transaction) }
  }

  private func nextNodeID(
    in transaction: borrowing some LMDB.Transaction & ~Copyable
  ) throws(StoreError) -> UInt64 {
    let next = try transaction.value(of: CheckpointTables.MetaKey.next, in: tables.meta) {
      UInt64(stored: $0)
    }
    if let next, let next { return max(1, next) }
    // Before the first root; or the note was lost, and whatever is there may be in use.
    guard try transaction.count(of: tables.roots) > 0 else { return 1 }
    let last = try transaction.last(in: tables.nodes) { (key, _) in UInt64(key: key) }
    return (last.flatMap { $0 } ?? 0) + 1
  }

  /// Removes the nodes of a checkpoint that never got its root.
  ///
  /// - Precondition: The caller has the turn, or nobody else the store.
  func removeLeftovers() throws(StoreError) {
    let next = try nextNodeID()
    while try removeNodes(from: next, limit: 16_384) > 0 {}
  }

  private func removeNodes(from first: UInt64, limit: Int) throws(StoreError) -> Int {
    let isNeeded = try environment.read { transaction throws(StoreError) in
      try lastNodeID(in: transaction).map { $0 >= first } ?? false
    }
    guard isNeeded else { return 0 }
    return try environment.write { transaction throws(StoreError) in
      try removeNodes(from: first, limit: limit, in: transaction)
    }
  }

  func removeNodes(
    from first: UInt64, limit: Int, in transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) -> Int {
    var count = 0
    while count < limit, let last = try lastNodeID(in: transaction), last >= first {
      try transaction.remove(last, from: tables.nodes)
      count += 1
    }
    return count
  }

  private func lastNodeID(
    in transaction: borrowing some LMDB.Transaction & ~Copyable
  ) throws(StoreError) -> UInt64? {
    try transaction.last(in: tables.nodes) { (key, _) in UInt64(key: key) }.flatMap { $0 }
  }

  /// The ids of the nodes that the newest root can see: all that are there, but for those that some
  /// root lists as dead. O(*n*) in the number of nodes.
  ///
  /// - Precondition: The caller has the turn, and there are no leftovers.
  func newestNodeIDs() throws(StoreError) -> Set<UInt64> {
    try environment.read { transaction throws(StoreError) in
      var ids: Set<UInt64> = []
      guard try transaction.count(of: tables.roots) > 0 else { return ids }
      ids.reserveCapacity(try transaction.count(of: tables.nodes))
      try transaction.scan(tables.nodes, from: 0) { (key, _) in
        if let id = UInt64(key: key) { ids.insert(id) }
        return true
      }
      try transaction.scan(tables.dead, from: 0) { (_, bytes) in
        ids.subtract(DeadList(bytes)?.ids ?? [])
        return true
      }
      return ids
    }
  }

  /// Removes all roots and nodes: another history begins. Ids go on rising.
  package func removeAll() throws(StoreError) {
    try withTurn { () throws(StoreError) in
      let next = try nextNodeID()
      try environment.write { transaction throws(StoreError) in
        try transaction.removeAll(from: tables.roots)
        try transaction.removeAll(from: tables.dead)
        try transaction.removeAll(from: tables.commitments)
        try transaction.removeAll(from: tables.nodes)
        try removeUnusedMembers(in: transaction)
        try put(next: next, in: transaction)
      }
      losses.add(1, ordering: .releasing)
    }
  }

  fileprivate func put(
    next: UInt64, in transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) {
    try next.withStoredBytes { (bytes) throws(StoreError) in
      try transaction.put(bytes, for: CheckpointTables.MetaKey.next, in: tables.meta)
    }
  }
}

/// A checkpoint that is being written: its nodes in slices, a transaction each, and with the last
/// of them the root, which makes it visible.
///
/// One that is dropped leaves nodes that nobody sees; see ``CheckpointStore/removeLeftovers()``.
struct CheckpointDraft {
  /// A transaction takes no further node once its nodes have this many bytes.
  static let sliceByteCount = 2 << 20

  /// The id of the first node.
  let firstNodeID: UInt64
  private(set) var nodeCount = 0
  private(set) var nodeByteCount = 0
  private let store: CheckpointStore
  private var waiting: [(id: UInt64, bytes: [UInt8])] = []
  private var waitingByteCount = 0

  /// - Precondition: The caller has the store's turn until the checkpoint is finished or given up.
  init(_ store: CheckpointStore) throws(StoreError) {
    self.store = store
    try store.removeLeftovers()
    firstNodeID = try store.nextNodeID()
  }

  /// Adds a node. Ids rise, from ``firstNodeID`` on.
  mutating func write(_ id: UInt64, _ bytes: UnsafeRawBufferPointer) throws(StoreError) {
    waiting.append((id, [UInt8](bytes)))
    waitingByteCount += bytes.count
    nodeCount += 1
    nodeByteCount += bytes.count
    guard waitingByteCount >= Self.sliceByteCount else { return }
    try store.environment.write { transaction throws(StoreError) in
      try putWaiting(in: transaction)
    }
    waiting.removeAll(keepingCapacity: true)
    waitingByteCount = 0
  }

  /// Makes the checkpoint visible: durable on return. `dead` are the nodes that the root before can
  /// see and this one cannot.
  ///
  /// - Precondition: The root is newer than all that are there.
  mutating func finish(
    _ root: CheckpointRoot, membership: Membership = Membership(), dead: DeadList
  ) throws(StoreError) {
    precondition(root.header.membership == membership.digest, "a root's membership is its own")
    precondition(root.nodes.lowerBound == firstNodeID, "a root names the nodes written for it")
    try store.environment.write { transaction throws(StoreError) in
      try putWaiting(in: transaction)
      try store.put(membership, in: transaction)
      try root.bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.append(bytes, for: root.version.rawValue, in: store.tables.roots)
      }
      try dead.bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.append(bytes, for: root.version.rawValue, in: store.tables.dead)
      }
      try store.put(next: root.nodes.upperBound, in: transaction)
    }
    waiting = []
  }

  private func putWaiting(in transaction: borrowing LMDB.WriteTransaction) throws(StoreError) {
    for node in waiting {
      try node.bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.append(bytes, for: node.id, in: store.tables.nodes)
      }
    }
  }
}
