extension StoredReader {
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
  func prove(
    since old: StoredReader, digest: StateDigest, nextRouteID: RouteID
  ) throws(StoredReadError) -> StateDigest {
    let byStart = try provenDifference(from: old, in: .byStart)
    var (removed, added) = (Set<RouteEntry>(), Set<RouteEntry>())
    for (node, position) in byStart.removed {
      removed.insert(
        try RouteEntry(row(of: Cursor.Entry(node: node, position: position)), node, position))
    }
    for (node, position) in byStart.added {
      let entry = Cursor.Entry(node: node, position: position)
      let row = try row(of: entry)
      guard row.id < nextRouteID.rawValue else {
        throw fault(.badEntry(position: position), entry)
      }
      added.insert(RouteEntry(row, node, position))
    }
    var cursor = Cursor(self, .byStart)
    try cursor.seekToFirst()
    if let entry = cursor.entry, entry.key.count > 0 { throw fault(.noFirstRoute, entry) }

    for kind in [StoredTreeKind.byID, .byGroup] {
      let difference = try provenDifference(from: old, in: kind)
      let before = Set(removed.map { $0.entry(of: kind) })
      let after = Set(added.map { $0.entry(of: kind) })
      try compare(difference.removed, with: before.subtracting(after), kind)
      try compare(difference.added, with: after.subtracting(before), kind)
    }

    let touched = [byStart.removed, byStart.added, byStart.cut].joined()
      .map { $0.node.key(at: $0.position) }
    var sum = digest
    sum -= try old.digest(ofRoutesStartingAt: touched)
    sum += try self.digest(ofRoutesStartingAt: touched)
    return sum
  }

  /// What differs between two trees, the old one of which is proven; afterwards so is the new one.
  private func provenDifference(
    from old: StoredReader, in kind: StoredTreeKind
  ) throws(StoredReadError) -> Difference {
    // A node that was proven between these separators is proven between no others.
    let walk = try difference(from: old, in: kind) { oldPath, newPath in
      StoredNode.Place(level: 0, behind: oldPath)
        .hasSameSeparators(as: StoredNode.Place(level: 0, behind: newPath))
    }
    let oldCount = old.trees[kind.rawValue].count
    try check(count: oldCount - walk.removed.count + walk.added.count, of: kind)
    return walk
  }

  /// That the entries of a tree that differ are those that the routes that differ ask for.
  private func compare(
    _ found: [Difference.Entry], with expected: Set<TreeEntry>, _ kind: StoredTreeKind
  ) throws(StoredReadError) {
    for (node, position) in found
    where !expected.contains(TreeEntry(node.key(at: position), node.payload(at: position))) {
      throw fault(
        .treesDisagree(position: position), Cursor.Entry(node: node, position: position))
    }
    // No tree has a key twice, so that as many are the same.
    guard found.count == expected.count else {
      throw .damaged(
        StoredNodeError(
          .treesDisagree(position: 0), node: trees[kind.rawValue].root?.id ?? 0))
    }
  }

  /// The sum of the records of those routes that start at one of these keys.
  private func digest(ofRoutesStartingAt starts: [StoredKey]) throws(StoredReadError) -> StateDigest
  {
    var sum = StateDigest.zero
    var cursor = Cursor(self, .byStart)
    var last: StoredKey?
    for start in starts.sorted(by: { $0.compare($1) < 0 }) {
      if let last, last.compare(start) == 0 { continue }
      last = start
      try cursor.seek(atOrBefore: start)
      guard let entry = cursor.entry, entry.key.compare(start) == 0 else { continue }
      try cursor.moveToNext()
      sum += try row(of: entry).digest(from: start.bytes, to: cursor.entry?.key.bytes)
    }
    return sum
  }
}

/// What the tree by start key says of a route's place.
private struct RouteEntry: Hashable {
  let id: UInt64
  let group: UInt64
  let start: [UInt8]

  init(_ row: RouteRow, _ node: StoredNode, _ position: Int) {
    id = row.id
    group = row.group
    start = node.key(at: position).bytes
  }

  /// The entry that another tree has for it.
  func entry(of kind: StoredTreeKind) -> TreeEntry {
    switch kind {
    case .byStart, .byID:
      TreeEntry(key: IndexKey.withBytes(of: RouteID(id)) { Array($0) }, payload: start)
    case .byGroup:
      TreeEntry(
        key: IndexKey.withBytes(of: GroupID(group), RouteID(id)) { Array($0) }, payload: [])
    }
  }
}

/// An entry of the tree by id or by group.
private struct TreeEntry: Hashable {
  let key: [UInt8]
  let payload: [UInt8]

  init(key: [UInt8], payload: [UInt8]) {
    self.key = key
    self.payload = payload
  }

  init(_ key: StoredKey, _ payload: UnsafeRawBufferPointer) {
    self.init(key: key.bytes, payload: Array(payload))
  }
}
