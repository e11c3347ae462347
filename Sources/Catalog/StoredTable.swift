/// A table that is stored, read where it is: each answer reads the nodes on its way and proves each
/// of them against the one above, up to the roots of the trees. Lent: valid as long as the nodes'
/// bytes are.
///
/// Nothing is remembered between two reads.
package struct StoredTable<Failure: StoredNodeFailure> {
  /// Lends the bytes of the node with an id; nil when there is none.
  package typealias Read = (UInt64) throws(Failure) -> UnsafeRawBufferPointer?

  /// By start key, by id, by group.
  package let trees: [StoredTree]
  private let read: Read

  /// - Parameters:
  ///   - trees: By start key, by id, by group.
  ///   - read: Lends the bytes of nodes for as long as the table is used.
  /// - Precondition: There are three trees.
  package init(_ trees: [StoredTree], read: @escaping Read) {
    precondition(trees.count == StoredTreeKind.allCases.count, "a table has three trees")
    self.trees = trees
    self.read = read
  }

  /// How many routes there are.
  package var count: Int { trees[StoredTreeKind.byStart.rawValue].count }

  /// Reads a node of a tree, and proves it.
  func open(
    _ reference: StoredNodeReference, _ place: StoredNode.Place, of kind: StoredTreeKind
  ) throws(Failure) -> StoredNode {
    let bytes = try read(reference.id)
    do throws(StoredNodeError) {
      let node = try StoredNode.proven(bytes, reference, place)
      if node.level == 0 { try node.check(reference, of: kind) }
      return node
    } catch {
      throw .damagedNode(error)
    }
  }
}

extension StoredNode {
  /// That the entries of a leaf are of the form that those of a tree have.
  fileprivate func check(
    _ reference: StoredNodeReference, of kind: StoredTreeKind
  ) throws(StoredNodeError) {
    do throws(StoredNodeError.Problem) {
      try checkEntries(of: kind, below: RouteID(.max))
    } catch {
      throw StoredNodeError(error, node: reference.id)
    }
  }

  /// How many keys are at or before `key`.
  func countOfKeys(atOrBefore key: StoredKey) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self.key(at: middle).compare(key) <= 0 { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
