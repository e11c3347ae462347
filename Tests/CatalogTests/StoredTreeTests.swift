import TestSupport
import Testing

@testable import Catalog

@Suite struct StoredTreeTests {
  /// Chains of edits and of stored tables: each writes what is new, names what is gone, and is
  /// loaded as what it was, node for node.
  @Test(arguments: [4, 5, 32], testSeeds(count: 3))
  func tablesAreLoadedAsTheyWereStored(fanOut: Int, seed: UInt64) throws {
    var changes = try RouteTableChanges(seed: seed, fanOut: fanOut, count: 40)
    let shelf = NodeShelf()
    var seen: Set<UInt64> = []
    for step in 0..<40 {
      let context: Comment = "fan-out \(fanOut) seed \(seed) step \(step)"
      if !changes.random.oneIn(8) {
        try changes.change(changes.random.below(12), isGrowing: step < 20)
      }
      let table = changes.table
      let root = shelf.store(table)
      let reachable = try shelf.reachable(from: root)
      #expect(Set(root.dead) == seen.subtracting(reachable), context)
      #expect(root.dead == root.dead.sorted(), context)
      #expect(reachable.subtracting(seen) == Set(root.written), context)
      #expect(shelf.map.count == reachable.count, context)
      seen = reachable

      guard step % 4 == 0 else { continue }
      let store = IndexStore(fanOut: fanOut)
      do {
        var (loaded, map) = try shelf.load(root, in: store)
        loaded.checkInvariants()
        #expect(loaded.routes(overlapping: .all) == table.routes(overlapping: .all), context)
        #expect(loaded.computedDigest() == table.digest, context)
        #expect(loaded.version == table.version && loaded.count == table.count, context)
        #expect(store.nodeCount == reachable.count, context)
        #expect(map.count == reachable.count, context)
        var nextID = shelf.nextID
        let again = loaded.storeNodes(map: &map, nextID: &nextID) { id, _ in
          Issue.record("node \(id) was stored already, \(context)")
        }
        #expect(again.trees == root.trees && again.dead.isEmpty, context)
      }
      store.reclaim(limit: .max)
      #expect(store.nodeCount == 0 && store.nodeByteCount == 0, context)
    }
  }

  /// A table that was loaded goes on as if it had never left.
  @Test(arguments: testSeeds(count: 4))
  func loadedTablesTakeChanges(seed: UInt64) throws {
    var changes = try RouteTableChanges(seed: seed, count: 200)
    let shelf = NodeShelf()
    let root = shelf.store(changes.table)
    let store = IndexStore(fanOut: 4)
    let (loaded, map) = try shelf.load(root, in: store)
    var twin = changes
    changes.table = loaded
    shelf.map = map
    for step in 0..<40 {
      try changes.change(3, isGrowing: step < 20)
      try twin.change(3, isGrowing: step < 20)
      changes.table.checkInvariants()
      #expect(changes.table.digest == twin.table.digest, "seed \(seed) step \(step)")
      let before = shelf.map.count
      let next = shelf.store(changes.table)
      #expect(next.written.count < before / 2, "seed \(seed) step \(step)")
      let (again, _) = try shelf.load(next, in: IndexStore(fanOut: 4))
      #expect(again.computedDigest() == twin.table.digest, "seed \(seed) step \(step)")
    }
  }

  /// A write that fails leaves the map as it was: the next attempt stores all that is missing.
  @Test(arguments: testSeeds(count: 3))
  func aFailedStoreIsRepeated(seed: UInt64) throws {
    struct Full: Error {}
    var changes = try RouteTableChanges(seed: seed, count: 100)
    let shelf = NodeShelf()
    shelf.store(changes.table)
    for _ in 0..<20 {
      try changes.change(10)
      let count = shelf.map.count
      let firstID = shelf.nextID
      var left = changes.random.below(8)
      #expect(throws: Full.self) {
        try changes.table.storeNodes(map: &shelf.map, nextID: &shelf.nextID) {
          (_, _) throws(Full) in
          if left == 0 { throw Full() }
          left -= 1
        }
      }
      #expect(shelf.map.count == count && shelf.nextID > firstID, "seed \(seed)")
      let root = shelf.store(changes.table)
      let (loaded, _) = try shelf.load(root, in: IndexStore(fanOut: 4))
      #expect(loaded.computedDigest() == changes.table.digest, "seed \(seed)")
    }
  }

  /// What is written follows what changed, not how much there is.
  @Test func costFollowsTheChange() throws {
    var changes = try RouteTableChanges(seed: 1, fanOut: 32, count: 20_000)
    let shelf = NodeShelf()
    let first = shelf.store(changes.table)
    #expect(first.written.count > 1_800)
    for count in [1, 10] {
      for _ in 0..<count { try changes.change() }
      let root = shelf.store(changes.table)
      // A change goes to three trees of three levels, and to two of the leaves.
      #expect(root.written.count <= count * 3 * 2 * 3)
      #expect(root.dead.count <= root.written.count)
    }
  }

  /// Tables of another store share nothing with what is stored: all of it is new.
  @Test func aTableOfAnotherStoreIsStoredAnew() throws {
    let shelf = NodeShelf()
    let first = shelf.store(try RouteTableChanges(seed: 1, count: 100).table)
    let second = shelf.store(try RouteTableChanges(seed: 1, count: 100).table)
    #expect(second.written.count == first.written.count)
    #expect(second.dead == Array(first.written))
    // But for the ids, they are alike; an empty table has no nodes.
    let empty = shelf.store(RouteTable())
    #expect(empty.trees == [StoredTree](repeating: .init(root: nil, height: 0, count: 0), count: 3))
    #expect(empty.dead == Array(second.written) && shelf.map.count == 0)
    let (table, _) = try shelf.load(empty, in: IndexStore())
    #expect(table.isEmpty && table.computedDigest() == .zero)
    table.checkInvariants()
  }

  /// A tree whose loading breaks off, or is not used, leaves no node behind.
  @Test func whatIsNotUsedIsFreed() throws {
    let shelf = NodeShelf()
    let root = shelf.store(try RouteTableChanges(seed: 1, count: 100).table)
    let store = IndexStore(fanOut: 4)
    let loading = try StoredTableLoading(root.trees, nextRouteID: RouteID(101), in: store)
    _ = try loading.load(tree: 0, read: shelf.read)
    #expect(throws: StoredNodeError.self) {
      try loading.load(tree: 1) { id throws(StoredNodeError) in
        id == root.trees[1].root?.id ? try shelf.read(id) : nil
      }
    }
    #expect(store.nodeCount == 0 && store.versionCount == 0)
  }
}
