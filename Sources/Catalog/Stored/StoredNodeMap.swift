/// What whoever stores tables remembers of the nodes that are stored already: those of one table.
///
/// It holds the table, so that no address in it comes to be another node's; it has exactly the
/// table's nodes, so it does not grow with what was stored before.
package struct StoredNodeMap: Sendable {
  /// The table whose nodes are known; nil when none are.
  package private(set) var table: RouteTable?
  private var references: [UInt: StoredNodeReference] = [:]

  /// Knows of no nodes.
  package init() {}

  /// Knows of the nodes of a table.
  init(of table: RouteTable, nodes: [StoredNodeList]) {
    self.table = table
    references.reserveCapacity(nodes.reduce(0) { $0 + $1.count })
    for (node, reference) in nodes.joined() { references[node.address] = reference }
  }

  /// How many nodes are known.
  package var count: Int { references.count }

  /// The ids of the nodes that are known. O(*n*).
  package var ids: [UInt64] { references.values.map(\.id) }

  /// Forgets the nodes that are not among these, so that they are stored again. O(*n*).
  ///
  /// - Precondition: With a node, `ids` have all nodes below it.
  package mutating func keep(_ ids: Set<UInt64>) {
    references = references.filter { ids.contains($0.value.id) }
  }

  subscript(node: RouteIndex.Node) -> StoredNodeReference? { references[node.address] }

  /// Goes over to another table, which has `added` and has not `removed`.
  mutating func move(
    to table: RouteTable, added: StoredNodeList, removed: [RouteIndex.Node]
  ) {
    // In this order: while the old table is held, no node of the new one has the address of one that
    // goes. What both have stays.
    for node in removed { references[node.address] = nil }
    for (node, reference) in added { references[node.address] = reference }
    self.table = table
  }
}

/// Nodes in memory, with where they are stored.
typealias StoredNodeList = [(node: RouteIndex.Node, reference: StoredNodeReference)]

extension RouteIndex.Node {
  fileprivate var address: UInt { UInt(bitPattern: base) }
}
