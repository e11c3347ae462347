import Catalog
import Synchronization

extension CheckpointStore {
  /// What dropping a root removed.
  package struct Dropped: Hashable, Sendable {
    package var nodeCount = 0
    /// The bytes of the nodes.
    package var byteCount = 0
  }

  /// Removes a root, and the nodes that no other root can see, in one transaction: durable on
  /// return. Readers that are at it go on to see what they saw. A root that is not there: a no-op.
  ///
  /// - Complexity: O(*m* log *n*) for *m* nodes that went, and the number of roots.
  @discardableResult
  package func dropRoot(_ version: CatalogVersion) throws(StoreError) -> Dropped {
    try withTurn { () throws(StoreError) in try dropRootInTurn(version) }
  }

  /// Like ``dropRoot(_:)``.
  ///
  /// - Precondition: The caller has the turn.
  @discardableResult
  func dropRootInTurn(_ version: CatalogVersion) throws(StoreError) -> Dropped {
    try removeLeftovers()
    let (dropped, wasNewest) = try environment.write { transaction throws(StoreError) in
      let outcome = try dropRoot(version, in: transaction)
      try removeUnusedMembers(in: transaction)
      return outcome
    }
    if wasNewest { losses.add(1, ordering: .releasing) }
    return dropped
  }

  /// What dropping these roots, one after the other, would remove. Changes nothing, and needs no right
  /// to write.
  ///
  /// - Complexity: O(*m* log *n*) for *m* nodes that would go.
  func previewDropping(_ versions: [CatalogVersion]) throws(StoreError) -> Dropped {
    try environment.read { transaction throws(StoreError) in
      var dropped = Dropped()
      var rows = try rootRows(in: transaction)
      // What would have become of the lists by then.
      var lists: [CatalogVersion: DeadList] = [:]
      for version in versions {
        guard let index = rows.firstIndex(where: { $0.version == version }) else { continue }
        let floor = Self.floor(of: index, among: rows)
        if index + 1 < rows.count {
          let next = rows[index + 1].version
          for version in [version, next] where lists[version] == nil {
            lists[version] = try deadList(of: version, in: transaction)
          }
          guard let own = lists[version], let following = lists[next] else { continue }
          let contraction = own.contracted(into: following, floor: floor)
          lists[next] = contraction.next
          for id in contraction.freed {
            let size = try transaction.value(of: id, in: tables.nodes) { $0.count }
            dropped.nodeCount += size == nil ? 0 : 1
            dropped.byteCount += size ?? 0
          }
        } else {
          try transaction.scan(tables.nodes, from: floor) { (_, bytes) in
            dropped.nodeCount += 1
            dropped.byteCount += bytes.count
            return true
          }
        }
        rows.remove(at: index)
      }
      return dropped
    }
  }

  private func dropRoot(
    _ version: CatalogVersion, in transaction: borrowing LMDB.WriteTransaction
  ) throws(StoreError) -> (Dropped, wasNewest: Bool) {
    var dropped = Dropped()
    let rows = try rootRows(in: transaction)
    guard let index = rows.firstIndex(where: { $0.version == version }) else {
      return (dropped, false)
    }
    try transaction.remove(version.rawValue, from: tables.commitments)
    let floor = Self.floor(of: index, among: rows)
    guard index + 1 < rows.count else {
      // All that was born after the root before is this one's own.
      var doomed: [UInt64] = []
      try transaction.scan(tables.nodes, from: floor) { (key, bytes) in
        doomed.append(UInt64(key: key) ?? 0)
        dropped.byteCount += bytes.count
        return true
      }
      dropped.nodeCount = doomed.count
      for id in doomed { try transaction.remove(id, from: tables.nodes) }
      try transaction.remove(version.rawValue, from: tables.dead)
      try transaction.remove(version.rawValue, from: tables.roots)
      return (dropped, true)
    }
    let next = rows[index + 1].version
    let contraction = try deadList(of: version, in: transaction).contracted(
      into: deadList(of: next, in: transaction), floor: floor)
    for id in contraction.freed {
      let size = try transaction.value(of: id, in: tables.nodes) { $0.count }
      dropped.nodeCount += size == nil ? 0 : 1
      dropped.byteCount += size ?? 0
      try transaction.remove(id, from: tables.nodes)
    }
    try contraction.next.bytes.withRawBytes { (bytes) throws(StoreError) in
      try transaction.put(bytes, for: next.rawValue, in: tables.dead)
    }
    try transaction.remove(version.rawValue, from: tables.dead)
    try transaction.remove(version.rawValue, from: tables.roots)
    return (dropped, false)
  }

  /// The id from which on nodes were born after the root before the one at `index`. Where the row
  /// that tells is damaged, one that is high enough: what is kept for nothing is found later.
  private static func floor(of index: Int, among rows: [RootRow]) -> UInt64 {
    guard index > 0 else { return 1 }
    if let before = rows[index - 1].root { return before.nodes.upperBound }
    return rows[index...].lazy.compactMap(\.root).first?.nodes.lowerBound ?? .max
  }

  /// The list of a root. One that is damaged keeps its nodes from being removed, no more.
  private func deadList(
    of version: CatalogVersion, in transaction: borrowing some LMDB.Transaction & ~Copyable
  ) throws(StoreError) -> DeadList {
    let list = try transaction.value(of: version.rawValue, in: tables.dead) { DeadList($0) }
    return list.flatMap { $0 } ?? DeadList()
  }
}
