extension RouteIndex {
  /// A place in an index, which it keeps alive: on an entry, or past either end.
  package struct Cursor {
    private struct Step {
      var node: Node
      /// The child that the path goes on with; in a leaf, the entry.
      var position: Int
    }

    package let index: RouteIndex
    /// From the root to a leaf; empty past an end.
    private var path: [Step] = []

    /// A cursor that is not on an entry yet.
    package init(_ index: RouteIndex) {
      self.index = index
      path.reserveCapacity(index.tree.height)
    }

    /// The entry that the cursor is on, valid while the cursor lives and stays; nil past an end.
    package var entry: Entry? {
      path.last.map { Entry(node: $0.node, position: $0.position) }
    }

    /// Whether the cursor is on an entry.
    package var isOnEntry: Bool { !path.isEmpty }

    /// Goes to the first entry. O(log *n*).
    package mutating func seekToFirst() {
      path.removeAll(keepingCapacity: true)
      if let root = index.tree.root { descend(from: root, toFirst: true) }
    }

    /// Goes to the last entry. O(log *n*).
    package mutating func seekToLast() {
      path.removeAll(keepingCapacity: true)
      if let root = index.tree.root { descend(from: root, toFirst: false) }
    }

    /// Goes to the last entry whose key is at or before `key`. O(log *n*).
    package mutating func seek(atOrBefore key: UnsafeRawBufferPointer) {
      guard let rank = seekRank(of: key) else { return }
      if rank == 0 {
        stepBack()
      } else {
        path[path.count - 1].position -= 1
      }
    }

    /// Goes to the first entry whose key is at or after `key`. O(log *n*).
    package mutating func seek(atOrAfter key: UnsafeRawBufferPointer) {
      guard let rank = seekRank(of: key) else { return }
      let leaf = path[path.count - 1].node
      if rank > 0, leaf.key(at: rank - 1, equals: Needle(key)) {
        path[path.count - 1].position -= 1
      } else if rank == leaf.count {
        path[path.count - 1].position -= 1
        moveToNext()
      }
    }

    /// Goes to the entry whose key is `key`, or off all entries when there is none. O(log *n*).
    package mutating func seek(exactly key: UnsafeRawBufferPointer) {
      guard let rank = seekRank(of: key) else { return }
      if rank > 0, path[path.count - 1].node.key(at: rank - 1, equals: Needle(key)) {
        path[path.count - 1].position -= 1
      } else {
        path.removeAll(keepingCapacity: true)
      }
    }

    /// Goes to the next entry, past the end after the last. O(1) on average.
    package mutating func moveToNext() {
      guard let leaf = path.last else { return }
      if leaf.position + 1 < leaf.node.count {
        path[path.count - 1].position += 1
        return
      }
      path.removeLast()
      while let step = path.last {
        if step.position < step.node.count {
          path[path.count - 1].position += 1
          return descend(from: step.node.child(at: step.position + 1), toFirst: true)
        }
        path.removeLast()
      }
    }

    /// Goes to the entry before, past the end before the first. O(1) on average.
    package mutating func moveToPrevious() {
      guard let leaf = path.last else { return }
      if leaf.position > 0 {
        path[path.count - 1].position -= 1
      } else {
        stepBack()
      }
    }

    /// Goes from wherever in a leaf to the last entry of the leaf before.
    private mutating func stepBack() {
      path.removeLast()
      while let step = path.last {
        if step.position > 0 {
          path[path.count - 1].position -= 1
          return descend(from: step.node.child(at: step.position - 1), toFirst: false)
        }
        path.removeLast()
      }
    }

    private mutating func descend(from root: Node, toFirst: Bool) {
      var node = root
      while node.level > 0 {
        path.append(Step(node: node, position: toFirst ? 0 : node.count))
        node = node.child(at: toFirst ? 0 : node.count)
      }
      path.append(Step(node: node, position: toFirst ? 0 : node.count - 1))
    }

    /// Sets the path to the leaf where `key` belongs, and to the position behind the keys at or
    /// before it; nil when the index is empty.
    private mutating func seekRank(of key: UnsafeRawBufferPointer) -> Int? {
      path.removeAll(keepingCapacity: true)
      guard var node = index.tree.root else { return nil }
      let needle = Needle(key)
      while true {
        let rank = node.countOfKeys(atOrBefore: needle)
        path.append(Step(node: node, position: rank))
        guard node.level > 0 else { return rank }
        node = node.prefetchedChild(at: rank)
      }
    }
  }
}
