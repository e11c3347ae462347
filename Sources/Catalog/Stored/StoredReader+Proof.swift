extension StoredReader {
  /// Reads all nodes and proves that the table is whole: each node's bytes and its place in its
  /// tree, that the routes tile the keyspace, with ids below `nextRouteID` that are given once, and
  /// that the three trees say the same of them.
  ///
  /// - Returns: The sum of the records of the routes, to be compared to the digest of the state.
  /// - Throws: What is wrong with which node, and what reading throws.
  /// - Complexity: O(*n* log *n*), and memory for an entry of each route.
  func proveAll(nextRouteID: RouteID) throws(StoredReadError) -> StateDigest {
    var digest = StateDigest.zero
    var places: [RoutePlace] = []
    places.reserveCapacity(min(count, 1 << 20))
    var cursor = Cursor(self, .byStart)
    try cursor.seekToFirst()
    var start = cursor.entry?.key.bytes
    if let entry = cursor.entry, start != [] { throw fault(.noFirstRoute, entry) }
    while let entry = cursor.entry, let lower = start {
      let row = try row(of: entry)
      guard row.id < nextRouteID.rawValue else {
        throw fault(.badEntry(position: entry.position), entry)
      }
      places.append(RoutePlace(id: row.id, group: row.group, start: entry.key))
      try cursor.moveToNext()
      let upper = cursor.entry?.key.bytes
      digest += row.digest(from: lower, to: upper)
      start = upper
    }
    try check(count: places.count, of: .byStart)

    places.sort { $0.id < $1.id }
    try proveAll(of: .byID, places) { place, entry in
      entry.key.lastNumber == place.id && StoredKey(entry.payload).compare(place.start) == 0
    }
    places.sort { ($0.group, $0.id) < ($1.group, $1.id) }
    try proveAll(of: .byGroup, places) { place, entry in
      entry.key.number(from: 0) == place.group && entry.key.lastNumber == place.id
    }
    return digest
  }

  /// That a tree has exactly the entries of these routes, in this order.
  private func proveAll(
    of kind: StoredTreeKind, _ places: [RoutePlace], isOf: (RoutePlace, Cursor.Entry) -> Bool
  ) throws(StoredReadError) {
    try check(count: places.count, of: kind)
    var cursor = Cursor(self, kind)
    try cursor.seekToFirst()
    var found = 0
    while let entry = cursor.entry {
      guard found < places.count, isOf(places[found], entry) else {
        throw fault(.treesDisagree(position: entry.position), entry)
      }
      found += 1
      try cursor.moveToNext()
    }
    try check(count: found, of: kind)
  }

  /// That the root says a tree's true number of entries.
  func check(count: Int, of kind: StoredTreeKind) throws(StoredReadError) {
    let tree = trees[kind.rawValue]
    guard count == tree.count else {
      throw .damaged(
        StoredNodeError(
          .wrongCount(expected: tree.count, found: count), node: tree.root?.id ?? 0))
    }
  }

  func row(of entry: Cursor.Entry) throws(StoredReadError) -> RouteRow {
    do throws(LogCodingError) {
      return try RouteRow(checking: entry.payload)
    } catch {
      throw fault(.badRow(position: entry.position, error), entry)
    }
  }

  func fault(_ problem: StoredNodeError.Problem, _ entry: Cursor.Entry) -> StoredReadError {
    .damaged(StoredNodeError(problem, node: entry.node.id))
  }
}

/// Where the trees have a route.
private struct RoutePlace {
  var id: UInt64
  var group: UInt64
  var start: StoredKey
}

extension RouteRow {
  /// The digest of the route's record; `upper` is nil where it reaches the end.
  func digest(from lower: [UInt8], to upper: [UInt8]?) -> StateDigest {
    lower.withUnsafeBytes { lower in
      guard let upper else { return digest(lower: lower, upper: .end) }
      return upper.withUnsafeBytes { digest(lower: lower, upper: .key($0)) }
    }
  }
}
