import Catalog
import StateMachines

extension CheckpointStore {
  /// A node as it is stored.
  package struct Node: Hashable, Sendable {
    package var id: UInt64
    package var bytes: [UInt8]

    package init(id: UInt64, bytes: [UInt8]) {
      self.id = id
      self.bytes = bytes
    }
  }

  /// The nodes that were there before a root and that it cannot see. O(*m*) for *m* of them.
  package func hiddenNodes(from root: CheckpointRoot) throws(StoreError) -> Set<UInt64> {
    try environment.read { transaction throws(StoreError) in
      try check(root, in: transaction)
      var hidden: Set<UInt64> = []
      try transaction.scan(tables.dead, from: 0) { (key, bytes) in
        guard let version = UInt64(key: key), version <= root.version.rawValue else { return false }
        hidden.formUnion(DeadList(bytes)?.ids ?? [])
        return true
      }
      return hidden
    }
  }

  /// Some of the nodes that a root can see, with ids above `id` and ascending: at least one where
  /// there is one, and no more once they sum up to `maxBytes`. `hidden` is what
  /// ``hiddenNodes(from:)`` said.
  ///
  /// - Throws: ``StoreError/noCheckpoint(_:)`` when the root was dropped meanwhile.
  package func nodes(
    of root: CheckpointRoot, after id: UInt64, without hidden: Set<UInt64>, maxBytes: Int
  ) throws(StoreError) -> [Node] {
    guard id < root.nodes.upperBound else { return [] }
    return try environment.read { transaction throws(StoreError) in
      try check(root, in: transaction)
      var nodes: [Node] = []
      var byteCount = 0
      try transaction.scan(tables.nodes, from: id + 1) { (key, bytes) in
        guard let id = UInt64(key: key), id < root.nodes.upperBound else { return false }
        guard !hidden.contains(id) else { return true }
        nodes.append(Node(id: id, bytes: [UInt8](bytes)))
        byteCount += bytes.count
        return byteCount < maxBytes
      }
      return nodes
    }
  }
}

extension CatalogStore {
  /// The checkpoint to send to a mirror: that of `version` where it is there and entries lead on from
  /// it, else the newest of which that is true, which is made where there is none. Blocks.
  ///
  /// - Throws: ``StoreError/noCheckpoint(_:)`` when the catalog is empty.
  package func checkpointToSend(
    of version: CatalogVersion
  ) throws(StoreError) -> (CheckpointStore, CheckpointRoot) {
    let first = try firstPosition()
    func leadsOn(_ root: CheckpointRoot) -> Bool {
      root.position.next >= first && root.position <= current.appliedThrough
    }
    if let checkpoints {
      let roots = try checkpoints.roots().filter(leadsOn)
      if let root = roots.last(where: { $0.version == version }) ?? roots.last {
        return (checkpoints, root)
      }
    }
    guard let root = try checkpointNow(), leadsOn(root), let checkpoints else {
      throw .noCheckpoint(current.version)
    }
    return (checkpoints, root)
  }
}
