extension RouteTable {
  /// The ids of the routes that only one of the tables has, or that differ in anything, in
  /// ascending order.
  ///
  /// Nodes that both tables share are not looked at. Tables of different stores share none: then
  /// all of both is compared.
  ///
  /// - Complexity: O(*d* log *n*) for *d* routes that differ.
  package func changedRoutes(since old: RouteTable) -> [RouteID] {
    difference(from: old).changed.sorted()
  }

  /// The same, with the number of nodes that were looked at.
  func difference(from old: RouteTable) -> (changed: Set<RouteID>, openedCount: Int) {
    defer { withExtendedLifetime((holder, old.holder)) {} }
    var walk = TreeDifference<RouteIndex.Node, Never>(
      from: old.trees[TreeIndex.byStart].differenceRoot,
      to: trees[TreeIndex.byStart].differenceRoot
    ) { child, _, _ in child }
    walk.run()
    return (walk.changed, walk.openedCount)
  }
}

extension RouteIndex.Tree {
  fileprivate var differenceRoot: (child: RouteIndex.Node, level: Int)? {
    root.map { ($0, height - 1) }
  }
}

extension RouteIndex.Node: DifferenceNode {
  // While both tables are held, an address is the name of one node.
  typealias Child = RouteIndex.Node

  func compareKey(at position: Int, to other: RouteIndex.Node, at otherPosition: Int) -> Int {
    RouteIndex.Entry(node: self, position: position).withKey { key in
      RouteIndex.Entry(node: other, position: otherPosition).withKey { key.compare($0) }
    }
  }

  func routeID(at position: Int) -> RouteID { RouteRow.owner(in: payload(at: position)).route }
}
