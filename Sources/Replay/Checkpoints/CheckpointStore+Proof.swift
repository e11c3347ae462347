import Catalog
import StateMachines

extension CheckpointStore {
  /// Proves a checkpoint: that all its nodes are what was written, that the routes tile the keyspace,
  /// that its three trees say the same of them, and that they have the digest that the root says.
  /// Whether the log says so too, is for whoever has the state of the log there: see
  /// ``CheckpointRoot/header``.
  ///
  /// - Parameters:
  ///   - root: The checkpoint.
  ///   - proven: An older one that is proven. Nodes that both have are not read again, so that to
  ///     prove all checkpoints in turn reads each node about once.
  /// - Throws: ``StoreError/checkpointDamaged(_:_:)`` and what is wrong with which node;
  ///   ``StoreError/noCheckpoint(_:)`` when one of them was dropped.
  /// - Complexity: O(*n* log *n*) in the number of routes; with `proven`, O(*d* log *n*) for *d*
  ///   entries that differ. A map that has to grow waits for it.
  package func prove(
    _ root: CheckpointRoot, since proven: CheckpointRoot? = nil
  ) throws(StoreError) {
    try proveMembers(of: root)
    let next = root.header.nextRouteID
    let digest = try naming(root) { () throws(StoreError) in
      try environment.read { transaction throws(StoreError) in
        try check(root, in: transaction)
        if let proven { try check(proven, in: transaction) }
        return try transaction.withReader(of: tables.nodes) { (nodes) throws(StoreError) in
          let read = { (id: UInt64) throws(StoreError) in try nodes.value(of: id) }
          let table = StoredTable(root.trees, read: read)
          guard let proven, proven.header.nextRouteID <= next else {
            return try table.proveAll(nextRouteID: next)
          }
          return try table.prove(
            since: StoredTable(proven.trees, read: read), digest: proven.header.routesDigest,
            nextRouteID: next)
        }
      }
    }
    guard digest == root.header.routesDigest else {
      throw .checkpointDamaged(root.version, "its routes do not have the digest that it says")
    }
  }
}
