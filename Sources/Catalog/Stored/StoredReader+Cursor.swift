extension StoredReader {
  /// A place in one of the trees: on an entry, or past either end.
  struct Cursor {
    private struct Step {
      var node: StoredNode
      var place: StoredNode.Place
      /// The child that the path goes on with; in a leaf, the entry.
      var position: Int
    }

    /// An entry of a leaf. Lent.
    struct Entry {
      let node: StoredNode
      let position: Int

      var key: StoredKey { node.key(at: position) }
      var payload: UnsafeRawBufferPointer { node.payload(at: position) }
    }

    private let table: StoredReader
    private let kind: StoredTreeKind
    /// From the root to a leaf; empty past an end.
    private var path: [Step] = []

    /// A cursor that is not on an entry yet.
    init(_ table: StoredReader, _ kind: StoredTreeKind) {
      self.table = table
      self.kind = kind
    }

    /// The entry that the cursor is on; nil past an end.
    var entry: Entry? {
      path.last.map { Entry(node: $0.node, position: $0.position) }
    }

    /// Goes to the first entry.
    mutating func seekToFirst() throws(StoredReadError) {
      try descend { _ in 0 }
    }

    /// Goes to the last entry whose key is at or before `key`. Reads no node where the key belongs
    /// into the leaf that the cursor is in, and few where it belongs near it.
    mutating func seek(atOrBefore key: StoredKey) throws(StoredReadError) {
      while let step = path.last, !step.place.contains(key) { path.removeLast() }
      if let step = path.last {
        path[path.count - 1].position = step.node.countOfKeys(atOrBefore: key)
        try descendFurther { $0.countOfKeys(atOrBefore: key) }
      } else {
        try descend { $0.countOfKeys(atOrBefore: key) }
      }
      guard let leaf = path.last else { return }
      if leaf.position > 0 {
        path[path.count - 1].position -= 1
      } else {
        try stepBack()
      }
    }

    /// Goes to the first entry whose key is at or after `key`.
    mutating func seek(atOrAfter key: StoredKey) throws(StoredReadError) {
      try descend { $0.countOfKeys(atOrBefore: key) }
      guard let leaf = path.last else { return }
      if leaf.position > 0, leaf.node.key(at: leaf.position - 1).compare(key) == 0 {
        path[path.count - 1].position -= 1
      } else if leaf.position == leaf.node.count {
        path[path.count - 1].position -= 1
        try moveToNext()
      }
    }

    /// Goes to the next entry, past the end after the last.
    mutating func moveToNext() throws(StoredReadError) {
      guard let leaf = path.last else { return }
      if leaf.position + 1 < leaf.node.count {
        path[path.count - 1].position += 1
        return
      }
      path.removeLast()
      while let step = path.last {
        if step.position < step.node.count {
          path[path.count - 1].position += 1
          return try descendFurther { _ in 0 }
        }
        path.removeLast()
      }
    }

    /// Goes from wherever in a leaf to the last entry of the leaf before.
    private mutating func stepBack() throws(StoredReadError) {
      path.removeLast()
      while let step = path.last {
        if step.position > 0 {
          path[path.count - 1].position -= 1
          return try descendFurther { $0.level > 0 ? $0.count : $0.count - 1 }
        }
        path.removeLast()
      }
    }

    /// Goes from the root to a leaf, at each node to the position that `choose` says.
    private mutating func descend(_ choose: (StoredNode) -> Int) throws(StoredReadError) {
      path.removeAll(keepingCapacity: true)
      let tree = table.trees[kind.rawValue]
      guard let root = tree.root else { return }
      try push(root, StoredNode.Place(level: tree.height - 1), choose)
      try descendFurther(choose)
    }

    /// Goes from an inner node to a leaf.
    private mutating func descendFurther(_ choose: (StoredNode) -> Int) throws(StoredReadError) {
      while let step = path.last, step.node.level > 0 {
        try push(
          step.node.child(at: step.position),
          step.node.place(ofChild: step.position, in: step.place), choose)
      }
    }

    private mutating func push(
      _ reference: StoredNodeReference, _ place: StoredNode.Place, _ choose: (StoredNode) -> Int
    ) throws(StoredReadError) {
      let node = try table.open(reference, place, of: kind)
      path.append(Step(node: node, place: place, position: choose(node)))
    }
  }
}
