extension StoredNode {
  /// Makes the node in memory: a node that is stored again has the same bytes.
  ///
  /// - Parameters:
  ///   - store: Where the node will live.
  ///   - children: As many as ``childCount``.
  ///   - birth: The serial of the version that it is for.
  /// - Returns: The node, which nobody has counted yet.
  /// - Throws: What keeps a node like this from being in `store`.
  func makeNode(
    in store: IndexStore, children: ArraySlice<RouteIndex.Node>, birth: UInt64
  ) throws(StoredNodeError.Problem) -> RouteIndex.Node {
    precondition(children.count == childCount)
    guard count <= store.limit(level: level) else {
      throw .tooManyKeys(count, limit: store.limit(level: level))
    }
    let longest = entries.reduce(0) { max($0, $1.suffix.count) }
    let words = longest <= 8 ? 1 : 2
    let variableCount = entries.reduce(prefix.count) { sum, entry in
      sum + max(0, entry.suffix.count - 8 * words) + entry.payload.count
    }
    // What an edit makes has no more, and 16 bits reach it all.
    guard variableCount <= RouteIndex.Node.variableLimit + 1 else {
      throw .tooLarge(byteCount: variableCount)
    }
    let node = RouteIndex.Node.make(
      in: store, level: level, count: count, spare: 0, prefix: prefix, birth: birth,
      suffix: suffix(at:), payload: payload(at:))
    for (position, child) in children.enumerated() { node.setChild(child, at: position) }
    return node
  }
}
