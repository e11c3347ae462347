import Synchronization
import TestSupport
import Testing

@testable import Catalog

@Suite struct RouteIndexConcurrencyStoringTests {
  /// A table is stored while a writer makes the next versions and another thread frees what nobody
  /// can see: each stored table is the one that was taken.
  @Test(arguments: testSeeds(count: 2))
  func tablesAreStoredWhileTheyChange(seed: UInt64) throws {
    var changes = try RouteTableChanges(seed: seed, count: 60)
    let store = changes.table.store
    let newest = Turn(changes.table)
    let isDone = Atomic<Bool>(false)

    let checkpoints = Turn(Checkpoints())
    let checkpointer = TestThread {
      while !isDone.load(ordering: .acquiring) {
        // The thread sanitizer does not see reference counts: the copy goes under the lock too.
        var table = newest.use { Optional($0) }
        checkpoints.use { checkpoints in
          if let table { checkpoints.store(table) }
          newest.use { _ in
            table = nil
            checkpoints.shelf.forgetRoots()
          }
        }
      }
    }
    let reclaimer = TestThread {
      while !isDone.load(ordering: .acquiring) { store.reclaim(limit: 16) }
    }
    for step in 0..<80 {
      try changes.change(2, isGrowing: step < 40)
      let next = changes.table
      newest.use { $0 = next }
    }
    isDone.store(true, ordering: .releasing)
    checkpointer.join()
    reclaimer.join()

    try checkpoints.use { checkpoints in
      let shelf = checkpoints.shelf
      for (trees, version, next, digest) in checkpoints.stored {
        let (loaded, _) = try RouteTable.loading(
          trees, version: version, nextRouteID: next, digest: digest,
          in: IndexStore(fanOut: 4), read: shelf.read)
        #expect(loaded.computedDigest() == digest, "seed \(seed)")
      }
      #expect(!checkpoints.stored.isEmpty)
      // What is held is the last stored version and the newest.
      shelf.map = StoredNodeMap()
    }
    newest.use { $0 = RouteTable() }
    store.reclaim(limit: .max)
    #expect(store.nodeCount == changes.table.nodeCount, "seed \(seed)")
  }

  /// Stores tables and remembers what they were, not the tables.
  private struct Checkpoints {
    let shelf = NodeShelf()
    private(set) var stored:
      [(trees: [StoredTree], version: CatalogVersion, next: RouteID, digest: StateDigest)] = []

    mutating func store(_ table: RouteTable) {
      guard table.version != stored.last?.version else { return }
      let root = shelf.store(table)
      stored.append((root.trees, table.version, table.nextRouteID, table.digest))
    }
  }

  /// The three trees are loaded on three threads into one store.
  @Test(arguments: testSeeds(count: 2))
  func treesAreLoadedSideBySide(seed: UInt64) throws {
    let table = try RouteTableChanges(seed: seed, count: 400).table
    let shelf = NodeShelf()
    let root = shelf.store(table)
    let nodes = LentNodes(nodes: shelf.nodes)
    let store = IndexStore(fanOut: 4)
    let loading = try StoredTableLoading(
      root.trees, nextRouteID: table.nextRouteID, in: store)
    let loaded = Turn([LoadedTree?](repeating: nil, count: 3))
    let threads = (0..<3).map { index in
      TestThread {
        let tree = try? loading.load(tree: index) { id throws(StoredNodeError) in nodes.nodes[id] }
        loaded.use { $0[index] = tree }
      }
    }
    for thread in threads { thread.join() }
    let trees = loaded.use { trees in trees.compactMap { $0 } }
    try #require(trees.count == 3)
    let (copy, _) = loading.finish(
      trees[0], trees[1], trees[2], version: table.version, digest: table.digest)
    copy.checkInvariants()
    #expect(copy.routes(overlapping: .all) == table.routes(overlapping: .all))
    withExtendedLifetime(shelf) {}
  }
}

/// Bytes of nodes that outlive who reads them.
private struct LentNodes: @unchecked Sendable {
  // Unchecked: nobody writes to them while they are lent.
  let nodes: [UInt64: UnsafeRawBufferPointer]
}

/// A value for one thread at a time, behind a lock that the thread sanitizer knows.
private final class Turn<Value>: @unchecked Sendable {
  // Unchecked: `value` is used under `lock` alone.
  private var value: Value
  private let lock = TestLock()

  init(_ value: Value) { self.value = value }

  func use<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    lock.lock()
    defer { lock.unlock() }
    return try body(&value)
  }
}

extension RouteTable {
  /// How many nodes the table can see.
  fileprivate var nodeCount: Int {
    [byStart, byID, byGroup].reduce(0) { $0 + $1.reachableNodes().count }
  }
}
