import Synchronization

/// Makes a table in memory of three stored trees, node for node, so that what is stored next shares
/// all that does not change.
///
/// Loading proves the nodes' bytes against the hashes of the trees' roots, and that each tree is
/// well formed. That the trees agree with each other, and with a digest of the routes, it takes from
/// whoever vouches for the roots; ``RouteTable/computedDigest()`` proves the digest.
package struct StoredTableLoading: Sendable {
  private let trees: [StoredTree]
  private let nextRouteID: RouteID
  private let store: IndexStore
  private let birth: UInt64

  /// - Parameters:
  ///   - trees: By start key, by id, by group.
  ///   - nextRouteID: The ids of all routes are below.
  ///   - store: Where the nodes will live; it allows as many keys a node as that of the table that
  ///     was stored.
  /// - Throws: ``StoredNodeError/Problem/impossibleTree`` when the trees cannot be those of a table.
  package init(
    _ trees: [StoredTree], nextRouteID: RouteID, in store: IndexStore
  ) throws(StoredNodeError) {
    guard trees.count == StoredTreeKind.allCases.count,
      trees.allSatisfy({
        $0.count == trees[0].count && ($0.root == nil) == ($0.count == 0) && $0.count >= 0
          && ($0.root == nil) == ($0.height == 0)
          && (0...RouteIndex.Path.maximumCount).contains($0.height)
      })
    else { throw StoredNodeError(.impossibleTree, node: 0) }
    self.trees = trees
    self.nextRouteID = nextRouteID
    self.store = store
    birth = store.nextSerial()
  }

  /// Loads one of the trees: 0 by start key, 1 by id, 2 by group. Each may be loaded on a thread of
  /// its own. O(*n*).
  ///
  /// - Parameters:
  ///   - index: Which tree.
  ///   - read: Lends the bytes of the node with an id until the loading ends; nil when there is none.
  /// - Returns: The nodes, of which ``finish(_:_:_:version:digest:)`` makes a table.
  /// - Throws: What `read` throws, and what is wrong with which node.
  package func load<Failure: StoredNodeFailure>(
    tree index: Int, read: (UInt64) throws(Failure) -> UnsafeRawBufferPointer?
  ) throws(Failure) -> LoadedTree {
    guard let kind = StoredTreeKind(rawValue: index) else { preconditionFailure("a tree's place") }
    let tree = trees[index]
    var loader = TreeLoader(
      kind, count: tree.count, nextRouteID: nextRouteID, in: store, birth: birth)
    do throws(Failure) {
      var root: RouteIndex.Node?
      if let reference = tree.root {
        root = try loader.load(reference, StoredNode.Place(level: tree.height - 1), read)
      }
      guard loader.entryCount == tree.count else {
        throw .damagedNode(
          StoredNodeError(
            .wrongCount(expected: tree.count, found: loader.entryCount), node: tree.root?.id ?? 0))
      }
      return LoadedTree(
        RouteIndex.Tree(root: root, height: tree.height, count: tree.count), loader.nodes, store)
    } catch {
      for (node, _) in loader.nodes { store.deallocate(node) }
      throw error
    }
  }

  /// The table of the trees that were loaded, and what is stored of it. `digest`, the sum of the
  /// routes' records, is not proven here.
  package func finish(
    _ byStart: LoadedTree, _ byID: LoadedTree, _ byGroup: LoadedTree, version: CatalogVersion,
    digest: StateDigest
  ) -> (table: RouteTable, map: StoredNodeMap) {
    let loaded = [byStart, byID, byGroup]
    var table = RouteTable(in: store)
    for (index, tree) in loaded.enumerated() { table.trees[index] = tree.take(in: store) }
    table.holder = store.makeFirstVersion(of: table.trees, serial: birth)
    table.version = version
    table.nextRouteID = nextRouteID
    table.digest = digest
    return (table, StoredNodeMap(of: table, nodes: loaded.map(\.nodes)))
  }
}

/// A stored tree whose nodes are in memory and not yet part of a table.
package final class LoadedTree: Sendable {
  private let tree: RouteIndex.Tree
  let nodes: StoredNodeList
  private let store: IndexStore
  private let isTaken = Atomic<Bool>(false)

  init(_ tree: RouteIndex.Tree, _ nodes: StoredNodeList, _ store: IndexStore) {
    self.tree = tree
    self.nodes = nodes
    self.store = store
  }

  /// Hands the nodes over to a version.
  ///
  /// - Precondition: They were made in `store` and not handed over yet.
  func take(in store: IndexStore) -> RouteIndex.Tree {
    let wasTaken = isTaken.exchange(true, ordering: .relaxed)
    precondition(!wasTaken && store === self.store, "a tree is loaded for one table")
    store.count(nodes: nodes.count, bytes: nodes.reduce(0) { $0 + $1.node.byteCount })
    return tree
  }

  deinit {
    guard !isTaken.load(ordering: .relaxed) else { return }
    for (node, _) in nodes { store.deallocate(node) }
  }
}

extension RouteTable {
  /// Makes a table in memory of three stored trees, on this thread; see ``StoredTableLoading``.
  package static func loading<Failure: StoredNodeFailure>(
    _ trees: [StoredTree], version: CatalogVersion, nextRouteID: RouteID, digest: StateDigest,
    in store: IndexStore, read: (UInt64) throws(Failure) -> UnsafeRawBufferPointer?
  ) throws(Failure) -> (table: RouteTable, map: StoredNodeMap) {
    let loading: StoredTableLoading
    do throws(StoredNodeError) {
      loading = try StoredTableLoading(trees, nextRouteID: nextRouteID, in: store)
    } catch {
      throw .damagedNode(error)
    }
    return loading.finish(
      try loading.load(tree: 0, read: read), try loading.load(tree: 1, read: read),
      try loading.load(tree: 2, read: read), version: version, digest: digest)
  }

  /// The sum of the records of the routes as they are: what ``digest`` has to be. O(*n*).
  package func computedDigest() -> StateDigest {
    var sum = StateDigest.zero
    var cursor = RouteIndex.Cursor(byStart)
    cursor.seekToFirst()
    while let entry = cursor.entry {
      cursor.moveToNext()
      let row = RouteRow(entry.payload)
      let next = cursor.entry
      sum += entry.withKey { row.digest(lower: $0, upper: RouteRow.UpperBound(next)) }
    }
    return sum
  }
}
