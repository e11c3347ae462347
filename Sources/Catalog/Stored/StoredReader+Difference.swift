extension StoredReader {
  /// The ids of the routes that only one of the tables has, or that differ in anything, in
  /// ascending order. Both are stored in one place, where no two nodes have one id.
  ///
  /// Nodes that both share are not read. Reads O(*d* log *n*) nodes for *d* routes that differ.
  func changedRoutes(since old: StoredReader) throws(StoredReadError) -> [RouteID] {
    try difference(from: old, in: .byStart) { _, _ in true }.changed.sorted()
  }

  typealias Difference = TreeDifference<StoredNode, StoredReadError>

  /// A finished walk of one of the trees.
  func difference(
    from old: StoredReader, in tree: StoredTreeKind,
    mayPass: @escaping ([Difference.Step], [Difference.Step]) -> Bool
  ) throws(StoredReadError) -> Difference {
    var walk = Difference(
      from: old.trees[tree.rawValue].differenceRoot, to: trees[tree.rawValue].differenceRoot,
      mayPass: mayPass
    ) { child, level, path throws(StoredReadError) in
      try open(child, StoredNode.Place(level: level, behind: path), of: tree)
    }
    try walk.run()
    return walk
  }
}

extension StoredTree {
  fileprivate var differenceRoot: (child: StoredNodeReference, level: Int)? {
    root.map { ($0, height - 1) }
  }
}

extension StoredNode: DifferenceNode {
  func compareKey(at position: Int, to other: StoredNode, at otherPosition: Int) -> Int {
    key(at: position).compare(other.key(at: otherPosition))
  }

  func routeID(at position: Int) -> RouteID {
    // The rows of a leaf were checked when it was opened.
    RouteID((try? RouteRow(checking: payload(at: position)))?.id ?? 0)
  }
}

extension StoredNode.Place {
  /// The place of the child to which a path leads.
  init(
    level: Int, behind path: [TreeDifference<StoredNode, StoredReadError>.Step]
  ) {
    self.init(level: level)
    for step in path {
      if step.position > 0 { low = step.node.key(at: step.position - 1) }
      if step.position < step.node.count { high = step.node.key(at: step.position) }
    }
  }
}
