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

/// Time that passed, and time that this thread had a processor, in fields of a JSON object.
private struct Stopwatch {
  private let begin = nanoseconds()
  private let processorBegin = processorNanoseconds()

  var fields: String {
    let processor = processorNanoseconds() - processorBegin
    return "\"us\":\((nanoseconds() - begin) / 1_000),\"cpu_us\":\(processor / 1_000)"
  }
}

extension TableBench {
  /// What storing a table costs, whole and after batches of splits, and making it again.
  mutating func storeAndLoad() throws {
    let arena = NodeArena()
    var map = StoredNodeMap()
    var nextID: UInt64 = 1
    func store(_ name: String, _ table: RouteTable) -> [StoredTree] {
      let (first, bytes) = (nextID, arena.byteCount)
      let watch = Stopwatch()
      let stored = table.storeNodes(map: &map, nextID: &nextID) { arena.append($1) }
      report(
        name,
        "\(watch.fields),\"nodes\":\(nextID - first),"
          + "\"bytes\":\(arena.byteCount - bytes),\"dead\":\(stored.dead.count)")
      return stored.trees
    }
    let first = store("store_all", table)
    for _ in 0..<3 { try load(first, arena) }

    var old = (trees: first, table: table)
    for _ in 0..<3 {
      try splitInBatches(name: "split_before_store", batches: 1)
      let trees = store("store_1000_splits", table)
      var watch = Stopwatch()
      let changed = table.changedRoutes(since: old.table).count
      report("changed_routes", "\(watch.fields),\"routes\":\(changed)")
      let new = StoredTable<StoredNodeError>(trees, read: arena.read)
      let before = StoredTable<StoredNodeError>(old.trees, read: arena.read)
      watch = Stopwatch()
      let found = try new.changedRoutes(since: before).count
      report("changed_stored_routes", "\(watch.fields),\"routes\":\(found)")
      watch = Stopwatch()
      let digest = try new.prove(
        since: before, digest: old.table.digest, nextRouteID: table.nextRouteID)
      precondition(digest == table.digest)
      report("prove_since", watch.fields)
      old = (trees, table)
    }
    try lookUpStored(old.trees, arena)
  }

  private func load(_ trees: [StoredTree], _ arena: NodeArena) throws {
    let store = IndexStore()
    let watch = Stopwatch()
    let loading = try StoredTableLoading(trees, nextRouteID: table.nextRouteID, in: store)
    var loaded: [LoadedTree] = []
    for (index, name) in ["load_by_start", "load_by_id", "load_by_group"].enumerated() {
      let watch = Stopwatch()
      loaded.append(try loading.load(tree: index, read: arena.read))
      report(name, watch.fields)
    }
    let (copy, map) = loading.finish(
      loaded[0], loaded[1], loaded[2], version: table.version, digest: table.digest)
    precondition(copy.count == table.count)
    report("load", "\(watch.fields),\"nodes\":\(map.count)")
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
    let watch = Stopwatch()
    let digest = try stored.proveAll(nextRouteID: table.nextRouteID)
    precondition(digest == table.digest)
    report("prove_all", watch.fields)
  }
}
