/// A table that is stored, read where it is: each answer reads the nodes on its way and proves each
/// of them against the one above, up to the roots of the trees. Lent: valid as long as the nodes'
/// bytes are, and for one thread.
///
/// Nothing is remembered between two reads. All functions throw what is wrong with which node, and
/// what reading throws.
package struct StoredTable<Failure: StoredNodeFailure> {
  /// What reading threw.
  private final class Thrown {
    var failure: Failure?
  }

  private let reader: StoredReader
  private let thrown = Thrown()

  /// - Parameters:
  ///   - trees: By start key, by id, by group.
  ///   - read: Lends the bytes of the node with an id, for as long as the table is used; nil when
  ///     there is none.
  /// - Precondition: There are three trees.
  package init(
    _ trees: [StoredTree], read: @escaping (UInt64) throws(Failure) -> UnsafeRawBufferPointer?
  ) {
    precondition(trees.count == StoredTreeKind.allCases.count, "a table has three trees")
    let thrown = thrown
    reader = StoredReader(trees: trees) { id throws(StoredReadError) in
      do throws(Failure) {
        return try read(id)
      } catch {
        thrown.failure = error
        throw .stopped
      }
    }
  }

  /// By start key, by id, by group.
  package var trees: [StoredTree] { reader.trees }

  /// How many routes there are.
  package var count: Int { reader.count }

  func reading<Result>(
    _ body: (StoredReader) throws(StoredReadError) -> Result
  ) throws(Failure) -> Result {
    do throws(StoredReadError) {
      return try body(reader)
    } catch {
      switch error {
      case .damaged(let error): throw .damagedNode(error)
      case .stopped:
        guard let failure = thrown.failure else {
          preconditionFailure("who stopped reading said why")
        }
        throw failure
      }
    }
  }
}

extension StoredTable {
  /// The route that holds `key`; nil only while there are no routes. Reads O(log *n*) nodes.
  package func route(containing key: Key) throws(Failure) -> Route? {
    try reading { reader throws(StoredReadError) in try reader.route(containing: key) }
  }

  /// The route with this id, or nil. Reads O(log *n*) nodes.
  package func route(id: RouteID) throws(Failure) -> Route? {
    try reading { reader throws(StoredReadError) in try reader.route(id: id) }
  }

  /// Those of the routes with these ids, which ascend, that there are, in key order. Reads the nodes
  /// that they lie in once, and O(log *n*) nodes for the first.
  package func routes(withIDs ids: [RouteID]) throws(Failure) -> [Route] {
    try reading { reader throws(StoredReadError) in try reader.routes(withIDs: ids) }
  }

  /// The ids of the routes of `group` above `id`, ascending, at most `limit`.
  /// Reads O(log *n*) nodes, and those that hold what is returned.
  package func routeIDs(
    of group: GroupID, after id: RouteID? = nil, limit: Int = .max
  ) throws(Failure) -> [RouteID] {
    try reading { reader throws(StoredReadError) in
      try reader.routeIDs(of: group, after: id, limit: limit)
    }
  }

  /// The routes that overlap `span`, in key order, at most `limit`.
  /// Reads O(log *n*) nodes, and those that hold what is returned.
  package func routes(
    overlapping span: KeySpan, limit: Int = .max
  ) throws(Failure) -> [Route] {
    var routes: [Route] = []
    guard limit > 0 else { return routes }
    try forEachRoute(overlapping: span) { route in
      routes.append(route)
      return routes.count < limit
    }
    return routes
  }

  /// Calls `body` with the routes that overlap `span`, in key order, until it returns false.
  package func forEachRoute(
    overlapping span: KeySpan, _ body: (Route) throws(Failure) -> Bool
  ) throws(Failure) {
    let thrown = thrown
    try reading { reader throws(StoredReadError) in
      try reader.forEachRoute(overlapping: span) { route throws(StoredReadError) in
        do throws(Failure) {
          return try body(route)
        } catch {
          thrown.failure = error
          throw .stopped
        }
      }
    }
  }

  /// The ids of the routes that only one of the tables has, or that differ in anything, in
  /// ascending order. Both are stored in one place, where no two nodes have one id.
  ///
  /// Nodes that both share are not read. Reads O(*d* log *n*) nodes for *d* routes that differ.
  package func changedRoutes(since old: StoredTable) throws(Failure) -> [RouteID] {
    try reading(with: old) { reader, old throws(StoredReadError) in
      try reader.changedRoutes(since: old)
    }
  }

  /// Reads all nodes and proves that the table is whole: each node's bytes and its place in its
  /// tree, that the routes tile the keyspace, with ids below `nextRouteID` that are given once, and
  /// that the three trees say the same of them.
  ///
  /// - Returns: The sum of the records of the routes, to be compared to the digest of the state.
  /// - Throws: What is wrong with which node, and what reading throws.
  /// - Complexity: O(*n* log *n*), and memory for an entry of each route.
  package func proveAll(nextRouteID: RouteID) throws(Failure) -> StateDigest {
    try reading { reader throws(StoredReadError) in try reader.proveAll(nextRouteID: nextRouteID) }
  }

  /// Proves what ``proveAll(nextRouteID:)`` does, given that it is proven of an older table of the
  /// same place: nodes that both share are not read again.
  ///
  /// - Parameters:
  ///   - old: A table that is proven.
  ///   - digest: The sum of the records of its routes.
  ///   - nextRouteID: The ids of the routes that differ are below; it is not below the old one's.
  /// - Returns: The sum of the records of the routes.
  /// - Throws: What is wrong with which node, and what reading throws.
  /// - Complexity: O(*d* log *n*) for *d* entries that differ.
  package func prove(
    since old: StoredTable, digest: StateDigest, nextRouteID: RouteID
  ) throws(Failure) -> StateDigest {
    try reading(with: old) { reader, old throws(StoredReadError) in
      try reader.prove(since: old, digest: digest, nextRouteID: nextRouteID)
    }
  }

  /// Reads two tables, with this one's closure: they are stored in one place.
  private func reading<Result>(
    with old: StoredTable,
    _ body: (StoredReader, StoredReader) throws(StoredReadError) -> Result
  ) throws(Failure) -> Result {
    try reading { reader throws(StoredReadError) in
      try body(reader, StoredReader(trees: old.trees, read: reader.read))
    }
  }
}
