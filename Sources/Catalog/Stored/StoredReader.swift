/// Reads stored trees for a ``StoredTable``, which is generic: what is done for every key of every
/// node is done here, where all types are known.
struct StoredReader {
  /// By start key, by id, by group.
  let trees: [StoredTree]
  /// Lends the bytes of a node.
  let read: (UInt64) throws(StoredReadError) -> UnsafeRawBufferPointer?

  /// How many routes there are.
  var count: Int { trees[StoredTreeKind.byStart.rawValue].count }

  /// Reads a node of a tree, and proves it.
  func open(
    _ reference: StoredNodeReference, _ place: StoredNode.Place, of kind: StoredTreeKind
  ) throws(StoredReadError) -> StoredNode {
    let bytes = try read(reference.id)
    do throws(StoredNodeError) {
      let node = try StoredNode.proven(bytes, reference, place)
      if node.level == 0 { try node.check(reference, of: kind) }
      return node
    } catch {
      throw .damaged(error)
    }
  }
}

/// Why reading stored trees ended.
enum StoredReadError: Error {
  case damaged(StoredNodeError)
  /// The closure that reads threw something, which is kept elsewhere.
  case stopped
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
