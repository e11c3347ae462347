import Catalog
import StateMachines

extension CheckpointStore {
  /// The whole state of a checkpoint, proven by the root's hashes: each node is the one that was
  /// written. O(*n*) in the number of routes.
  ///
  /// - Throws: ``StoreError/checkpointDamaged(_:_:)`` when it is not whole, and
  ///   ``StoreError/noCheckpoint(_:)`` when it was dropped.
  package func load(_ root: CheckpointRoot) throws(StoreError) -> CatalogState {
    try loadNodes(of: root).state
  }

  /// Like ``load(_:)``, with what is known of the nodes.
  func loadNodes(
    of root: CheckpointRoot
  ) throws(StoreError) -> (state: CatalogState, nodes: StoredNodeMap) {
    try naming(root) { () throws(StoreError) in
      let members = try members(of: root)
      let loading: StoredTableLoading
      do throws(StoredNodeError) {
        loading = try StoredTableLoading(
          root.trees, nextRouteID: root.header.nextRouteID, in: IndexStore())
      } catch {
        throw .damagedNode(error)
      }
      // The tree by start key has most of the bytes: it gets a thread of its own.
      let result = Monitor<Result<LoadedTree, StoreError>?>(nil)
      let thread = try WorkerThread(name: "checkpoint-load") {
        let outcome: Result<LoadedTree, StoreError>
        do throws(StoreError) {
          outcome = .success(try self.loadTree(0, of: root, loading))
        } catch {
          outcome = .failure(error)
        }
        result.withLock { $0 = outcome }
      }
      defer { thread.join() }
      let byID = try loadTree(1, of: root, loading)
      let byGroup = try loadTree(2, of: root, loading)
      thread.join()
      guard let byStart = try result.withLock({ $0 })?.get() else {
        preconditionFailure("a thread that ended has a result")
      }
      let (table, nodes) = loading.finish(
        byStart, byID, byGroup, version: root.version, digest: root.header.routesDigest)
      do throws(EvolveError) {
        return (
          try CatalogState(restoring: root.header, table: table, membership: members), nodes
        )
      } catch {
        throw .checkpointDamaged(root.version, "\(error)")
      }
    }
  }

  /// Lends the routes of a checkpoint, read where they are stored: no table is made in memory, and
  /// each answer costs the nodes on its way. What is seen is one checkpoint, whatever is written or
  /// dropped meanwhile. `body` is short, and begins no other read of checkpoints: a map that has to
  /// grow waits for it.
  ///
  /// - Throws: ``StoreError/checkpointDamaged(_:_:)`` when a node on the way is not what was written,
  ///   ``StoreError/noCheckpoint(_:)`` when the checkpoint was dropped, and what `body` throws.
  package func read<Result>(
    _ root: CheckpointRoot,
    _ body: (StoredTable<StoreError>) throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    try naming(root) { () throws(StoreError) in
      try environment.read { transaction throws(StoreError) in
        try check(root, in: transaction)
        return try transaction.withReader(of: tables.nodes) { (nodes) throws(StoreError) in
          try body(
            StoredTable(root.trees) { (id) throws(StoreError) in try nodes.value(of: id) })
        }
      }
    }
  }

  /// The routes that were added, removed or changed from one checkpoint to another; nodes that both
  /// share are passed over.
  ///
  /// - Throws: As ``read(_:_:)`` does.
  /// - Complexity: O(*d* log *n*) for *d* routes that differ.
  package func changedRoutes(
    from old: CheckpointRoot, to new: CheckpointRoot
  ) throws(StoreError) -> Set<RouteID> {
    try naming(new) { () throws(StoreError) in
      try environment.read { transaction throws(StoreError) in
        try check(old, in: transaction)
        try check(new, in: transaction)
        return try transaction.withReader(of: tables.nodes) { (nodes) throws(StoreError) in
          let read = { (id: UInt64) throws(StoreError) in try nodes.value(of: id) }
          return Set(
            try StoredTable(new.trees, read: read).changedRoutes(
              since: StoredTable(old.trees, read: read)))
        }
      }
    }
  }

  /// In a transaction of its own: nobody who has one may wait for somebody who begins one.
  private func loadTree(
    _ index: Int, of root: CheckpointRoot, _ loading: StoredTableLoading
  ) throws(StoreError) -> LoadedTree {
    try environment.read { transaction throws(StoreError) in
      try check(root, in: transaction)
      return try transaction.withReader(of: tables.nodes) { (nodes) throws(StoreError) in
        try loading.load(tree: index) { (id) throws(StoreError) in try nodes.value(of: id) }
      }
    }
  }

  /// Says of which checkpoint a node is damaged.
  func naming<Result>(
    _ root: CheckpointRoot, _ body: () throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    do throws(StoreError) {
      return try body()
    } catch {
      if case .damagedNode(let node) = error {
        throw .checkpointDamaged(root.version, "\(node)")
      }
      throw error
    }
  }
}
