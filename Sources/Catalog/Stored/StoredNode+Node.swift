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
    let size = RouteIndex.Node.Size(
      count: count, prefix: prefix, suffix: suffix(at:), payload: payload(at:))
    // What an edit makes has no more, and 16 bits reach it all.
    guard size.variableCount <= RouteIndex.Node.variableLimit + 1 else {
      throw .tooLarge(byteCount: size.variableCount)
    }
    let node = RouteIndex.Node.make(
      size, in: store, level: level, count: count, spare: 0, prefix: prefix, birth: birth,
      suffix: suffix(at:), payload: payload(at:))
    for (position, child) in children.enumerated() { node.setChild(child, at: position) }
    return node
  }
}
