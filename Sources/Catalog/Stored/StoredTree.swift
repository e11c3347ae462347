/// A stored node: where it is, and what its bytes must be.
package struct StoredNodeReference: Hashable, Sendable {
  /// At least 1. No two nodes of one place have the same.
  package var id: UInt64
  /// The SHA-256 of the node's bytes, which name the hashes of its children: it vouches for all
  /// below.
  package var hash: EntryHash

  package init(id: UInt64, hash: EntryHash) {
    self.id = id
    self.hash = hash
  }
}

/// One of the three trees of a table as it is stored.
package struct StoredTree: Hashable, Sendable {
  /// The root's node; nil for a tree without entries.
  package var root: StoredNodeReference?
  /// How many levels of nodes there are.
  package var height: Int
  /// How many entries there are.
  package var count: Int

  package init(root: StoredNodeReference?, height: Int, count: Int) {
    self.root = root
    self.height = height
    self.count = count
  }
}

/// Which of a table's trees a node is in, in the order in which they are stored.
enum StoredTreeKind: Int, CaseIterable {
  /// Start key to row.
  case byStart
  /// Id to start key.
  case byID
  /// Group and id to nothing.
  case byGroup
}
