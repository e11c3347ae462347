@testable import Catalog

/// Stored nodes in a dictionary, with the trees of each table that was stored: what a folder's
/// checkpoints are to the tests of their bytes.
final class NodeShelf {
  /// A table that was stored.
  struct Root {
    var trees: [StoredTree]
    var table: RouteTable
    /// The ids of the nodes that were written for it.
    var written: Range<UInt64>
    var dead: [UInt64]
  }

  /// Bytes that stay where they are: they are lent.
  private(set) var nodes: [UInt64: UnsafeRawBufferPointer] = [:]
  private(set) var roots: [Root] = []
  var map = StoredNodeMap()
  var nextID: UInt64 = 1
  /// How many nodes were read.
  private(set) var readCount = 0
  /// The ids of the nodes that were read.
  private(set) var readIDs: Set<UInt64> = []

  deinit { for bytes in nodes.values { bytes.deallocate() } }

  /// Stores what changed since the table before.
  @discardableResult
  func store(_ table: RouteTable) -> Root {
    let first = nextID
    let stored = table.storeNodes(map: &map, nextID: &nextID) { id, bytes in
      precondition(nodes[id] == nil, "a node is written once")
      put(Array(bytes), for: id)
    }
    let root = Root(
      trees: stored.trees, table: table, written: first..<nextID, dead: stored.dead)
    roots.append(root)
    return root
  }

  func put(_ bytes: [UInt8], for id: UInt64) {
    nodes[id]?.deallocate()
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    copy.copyBytes(from: bytes)
    nodes[id] = UnsafeRawBufferPointer(copy)
  }

  func read(_ id: UInt64) throws(StoredNodeError) -> UnsafeRawBufferPointer? {
    readCount += 1
    readIDs.insert(id)
    return nodes[id]
  }

  /// Lets go of the tables that were stored, but for what the map holds.
  func forgetRoots() { roots = [] }

  func forgetReads() { (readCount, readIDs) = (0, []) }

  /// Loads a table that was stored, into a store of the same fan-out.
  func load(
    _ root: Root, in store: IndexStore
  ) throws(StoredNodeError) -> (table: RouteTable, map: StoredNodeMap) {
    try RouteTable.loading(
      root.trees, version: root.table.version, nextRouteID: root.table.nextRouteID,
      digest: root.table.digest, in: store, read: read)
  }

  /// The ids of the nodes that a root can see.
  func reachable(from root: Root) throws -> Set<UInt64> {
    var found: Set<UInt64> = []
    var stack = root.trees.compactMap { $0.root?.id }
    while let id = stack.popLast() {
      found.insert(id)
      guard let bytes = nodes[id] else { throw StoredNodeError(.missing, node: id) }
      let node = try StoredNode(bytes)
      for position in 0..<node.childCount { stack.append(node.child(at: position).id) }
    }
    return found
  }

  /// Replaces the bytes of a node, and in all nodes above it the hashes that tell of them; the roots
  /// of `trees` as they are then.
  func forge(_ id: UInt64, _ bytes: [UInt8], in trees: [StoredTree]) -> [StoredTree] {
    var trees = trees
    var id = id
    var bytes = bytes
    // Bytes that name a node above as a child make a ring, in which hashes can never fit.
    var forged: Set<UInt64> = []
    while forged.insert(id).inserted {
      put(bytes, for: id)
      let hash = bytes.withUnsafeBytes(EntryHash.init(of:))
      for index in trees.indices where trees[index].root?.id == id {
        trees[index].root?.hash = hash
      }
      let parent = nodes.first { _, bytes in
        guard let node = try? StoredNode(bytes) else { return false }
        return (0..<node.childCount).contains { node.child(at: $0).id == id }
      }
      guard let parent, let node = try? StoredNode(parent.value) else { return trees }
      bytes = Array(parent.value)
      for position in 0..<node.childCount where node.child(at: position).id == id {
        let start = bytes.count - (node.childCount - position) * StoredNode.childByteCount + 8
        bytes.replaceSubrange(start..<start + 32, with: hash.bytes)
      }
      id = parent.key
    }
    return trees
  }
}
