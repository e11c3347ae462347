import Catalog

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Stored nodes in memory: what their codec costs, without a disk.
final class NodeArena {
  private(set) var nodes: [UnsafeRawBufferPointer] = []
  private(set) var byteCount = 0

  deinit { for node in nodes { node.deallocate() } }

  /// Ids begin at 1 and rise.
  func append(_ bytes: UnsafeRawBufferPointer) {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    copy.copyMemory(from: bytes)
    nodes.append(UnsafeRawBufferPointer(copy))
    byteCount += bytes.count
  }

  func read(_ id: UInt64) throws(StoredNodeError) -> UnsafeRawBufferPointer? {
    id > 0 && id <= UInt64(nodes.count) ? nodes[Int(id) - 1] : nil
  }
}

extension TableBench {
  /// What storing a table costs, whole and after batches of splits, and making it again.
  mutating func storeAndLoad() throws {
    let arena = NodeArena()
    var map = StoredNodeMap()
    var nextID: UInt64 = 1
    func store(_ name: String, _ table: RouteTable) -> [StoredTree] {
      let (begin, first, bytes) = (nanoseconds(), nextID, arena.byteCount)
      let stored = table.storeNodes(map: &map, nextID: &nextID) { arena.append($1) }
      report(
        name,
        "\"us\":\((nanoseconds() - begin) / 1_000),\"nodes\":\(nextID - first),"
          + "\"bytes\":\(arena.byteCount - bytes),\"dead\":\(stored.dead.count)")
      return stored.trees
    }
    let first = store("store_all", table)
    for _ in 0..<3 { try load(first, table, arena) }

    var old = (trees: first, table: table)
    for _ in 0..<3 {
      try splitInBatches(name: "split_before_store", batches: 1)
      let trees = store("store_1000_splits", table)
      var begin = nanoseconds()
      let changed = table.changedRoutes(since: old.table).count
      report("changed_routes", "\"routes\":\(changed),\"us\":\((nanoseconds() - begin) / 1_000)")
      begin = nanoseconds()
      let (new, before) = (
        StoredTable<StoredNodeError>(trees, read: arena.read),
        StoredTable<StoredNodeError>(old.trees, read: arena.read)
      )
      let found = try new.changedRoutes(since: before).count
      report(
        "changed_stored_routes", "\"routes\":\(found),\"us\":\((nanoseconds() - begin) / 1_000)")
      begin = nanoseconds()
      let digest = try new.prove(
        since: before, digest: old.table.digest, nextRouteID: table.nextRouteID)
      precondition(digest == table.digest)
      report("prove_since", "\"us\":\((nanoseconds() - begin) / 1_000)")
      old = (trees, table)
    }
    try lookUpStored(old.trees, arena)
  }

  private func load(_ trees: [StoredTree], _ table: RouteTable, _ arena: NodeArena) throws {
    let store = IndexStore()
    let begin = nanoseconds()
    let loading = try StoredTableLoading(trees, nextRouteID: table.nextRouteID, in: store)
    var times: [UInt64] = []
    var loaded: [LoadedTree] = []
    for index in 0..<3 {
      let begin = nanoseconds()
      loaded.append(try loading.load(tree: index, read: arena.read))
      times.append((nanoseconds() - begin) / 1_000)
    }
    let finish = nanoseconds()
    let (copy, map) = loading.finish(
      loaded[0], loaded[1], loaded[2], version: table.version, digest: table.digest)
    precondition(copy.count == table.count)
    let end = nanoseconds()
    report(
      "load",
      "\"us\":\((end - begin) / 1_000),\"trees_us\":\(times),\"nodes\":\(map.count),"
        + "\"finish_us\":\((end - finish) / 1_000)")
  }

  private mutating func lookUpStored(_ trees: [StoredTree], _ arena: NodeArena) throws {
    let stored = StoredTable<StoredNodeError>(trees, read: arena.read)
    var byKey = Samples(capacity: 10_000, overhead: 0)
    var byID = Samples(capacity: 10_000, overhead: 0)
    for number in 1...UInt64(10_000) {
      let key = Key(unchecked: Array(lookupKey(Int(number))))
      var begin = nanoseconds()
      _ = try stored.route(containing: key)
      byKey.append(from: begin, to: nanoseconds())
      begin = nanoseconds()
      _ = try stored.route(id: RouteID(number * 97 % UInt64(table.count) + 1))
      byID.append(from: begin, to: nanoseconds())
    }
    report("stored_lookup_key", byKey.fields())
    report("stored_lookup_id", byID.fields())
    let begin = nanoseconds()
    let digest = try stored.proveAll(nextRouteID: table.nextRouteID)
    precondition(digest == table.digest)
    report("prove_all", "\"ms\":\((nanoseconds() - begin) / 1_000_000)")
  }
}
