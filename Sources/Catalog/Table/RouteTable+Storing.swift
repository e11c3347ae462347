extension RouteTable {
  /// What came of storing a table.
  package struct Stored: Sendable {
    /// By start key, by id, by group.
    package var trees: [StoredTree]
    /// The ids of the nodes that the table before could see and this one cannot, ascending.
    package var dead: [UInt64]
  }

  /// Hands each node that `map` does not know to `write`, with the id that it gets from now on:
  /// children before parents, ids ascending.
  ///
  /// - Parameters:
  ///   - map: What is stored of the table before, and afterwards of this one. Stays what it was when
  ///     `write` throws.
  ///   - nextID: The id of the first node that is written, at least 1; afterwards, and when `write`
  ///     throws too, one more than that of the last.
  ///   - write: Stores a node. The bytes are lent for the call.
  /// - Returns: Where the trees begin now, and what of the table before is no more.
  /// - Throws: What `write` throws.
  /// - Complexity: O(*d* log *n*) for *d* nodes that one of the tables has alone.
  package func storeNodes<Failure: Error>(
    map: inout StoredNodeMap, nextID: inout UInt64,
    write: (UInt64, UnsafeRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) -> Stored {
    precondition(nextID > 0, "ids of nodes begin at 1")
    defer { withExtendedLifetime((holder, map.table)) {} }
    var writer = TreeWriter(nextID: nextID)
    defer { nextID = writer.nextID }
    var stored: [StoredTree] = []
    for index in trees.indices {
      let tree = trees[index]
      var root: StoredNodeReference?
      if let node = tree.root { root = try writer.store(node, map, write) }
      stored.append(StoredTree(root: root, height: tree.height, count: tree.count))
    }
    let dead = writer.deadNodes(of: map)
    let ids = dead.compactMap { map[$0]?.id }.sorted()
    map.move(to: self, added: writer.added, removed: dead)
    return Stored(trees: stored, dead: ids)
  }
}

/// Stores the nodes of trees that are not stored yet.
private struct TreeWriter {
  private(set) var nextID: UInt64
  private(set) var added: StoredNodeList = []
  /// The highest known nodes: with all below them, what this table shares with the one before.
  private var shared: Set<UnsafeMutableRawPointer> = []
  private var encoder = StoredNodeEncoder()
  /// The children of the nodes that are being stored, from the root down.
  private var children: [StoredNodeReference] = []

  init(nextID: UInt64) { self.nextID = nextID }

  mutating func store<Failure: Error>(
    _ node: RouteIndex.Node, _ map: StoredNodeMap,
    _ write: (UInt64, UnsafeRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) -> StoredNodeReference {
    if let known = map[node] {
      shared.insert(node.base)
      return known
    }
    let first = children.count
    if node.level > 0 {
      for position in 0...node.count {
        let child = try store(node.child(at: position), map, write)
        children.append(child)
      }
    }
    let id = nextID
    nextID += 1
    let hash = try encoder.withBytes(of: node, children: children[first...]) {
      (bytes) throws(Failure) in
      try write(id, bytes)
      return EntryHash(of: bytes)
    }
    children.removeSubrange(first...)
    let reference = StoredNodeReference(id: id, hash: hash)
    added.append((node, reference))
    return reference
  }

  /// The nodes of the table before that this one cannot see.
  func deadNodes(of map: StoredNodeMap) -> [RouteIndex.Node] {
    guard let trees = map.table?.trees else { return [] }
    var dead: [RouteIndex.Node] = []
    var stack = trees.indices.compactMap { trees[$0].root }
    while let node = stack.popLast() {
      guard !shared.contains(node.base) else { continue }
      dead.append(node)
      guard node.level > 0 else { continue }
      for position in 0...node.count { stack.append(node.child(at: position)) }
    }
    return dead
  }
}
