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
    let node = RouteIndex.Node.allocate(
      in: store, level: level, capacity: count, headsPerKey: words,
      variableCapacity: variableCount, birth: birth)
    node.setPrefix(prefix)
    var write = node.variable + prefix.count
    for position in 0..<count {
      let suffix = RouteIndex.Needle(suffix(at: position))
      for word in 0..<words { node.heads(word)[position] = suffix.head(at: 8 * word) }
      let tail = suffix.suffix(from: min(suffix.count, 8 * words))
      UnsafeMutableRawBufferPointer(start: write, count: tail.count).copyMemory(from: tail)
      write += tail.count
      let payload = payload(at: position)
      UnsafeMutableRawBufferPointer(start: write, count: payload.count).copyMemory(from: payload)
      write += payload.count
      node.lengths[position] = UInt16(suffix.count)
      node.ends[position] = UInt16(write - node.variable)
    }
    for (position, child) in children.enumerated() { node.setChild(child, at: position) }
    node.setCount(count)
    return node
  }
}
