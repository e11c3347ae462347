extension RouteIndex {
  /// Traps unless the tree is well formed. O(*n*).
  package func checkInvariants() {
    guard let root = tree.root else {
      precondition(tree.height == 0 && count == 0, "an index without nodes is empty")
      return
    }
    precondition(root.level == tree.height - 1, "the height counts the levels")
    precondition(root.level == 0 || root.count >= 1, "an inner root has two children")
    var entries = 0
    check(root, low: nil, high: nil, parentBirth: .max, &entries)
    precondition(entries == count, "the count counts the entries")

    var cursor = Cursor(self)
    var previous: [UInt8]?
    cursor.seekToFirst()
    while let key = cursor.entry?.key {
      if let previous {
        precondition(Self.isOrdered(previous, before: key), "keys ascend")
      }
      previous = key
      cursor.moveToNext()
    }
  }

  private func check(
    _ node: Node, low: [UInt8]?, high: [UInt8]?, parentBirth: UInt64, _ entries: inout Int
  ) {
    precondition(
      node.birth > 0 && node.birth <= parentBirth, "a node is not younger than its parent")
    precondition(node.count >= 1, "a node has keys")
    precondition(node.count <= store.limit(level: node.level), "a node is not overfull")
    precondition(node.count <= node.capacity, "a node has room for its keys")
    precondition(node.variableCount <= node.variableCapacity, "a node has room for its bytes")
    precondition(node.variableCount <= Node.variableLimit + 1, "16 bits reach all of a node")
    precondition(
      node.prefixLength <= Self.commonPrefixLength(low, high),
      "the fences have the prefix in common")

    let keys = (0..<node.count).map { Entry(node: node, position: $0).key }
    for position in 0..<node.count {
      precondition(
        node.headsPerKey == 2 || node.suffixLength(at: position) <= 8,
        "one head holds all of a short key")
      precondition(node.end(of: position - 1) <= node.end(of: position), "entries are in order")
      let skip = node.skip(at: position)
      precondition(
        skip == 0 || node.suffixLength(at: position) >= 16 + skip,
        "what is skipped leaves a second head 8 bytes")
      if position > 0, node.heads(0)[position] == node.heads(0)[position - 1] {
        precondition(skip == node.skip(at: position - 1), "the keys of a run skip as much")
        precondition(
          skip == 0
            || Self.commonPrefixLength(keys[position], keys[position - 1])
              >= node.prefixLength + 8 + skip,
          "the keys of a run have in common what they skip")
      }
      if let low { precondition(!Self.isOrdered(keys[position], before: low), "no key is below") }
      if let high { precondition(Self.isOrdered(keys[position], before: high), "none is above") }
      if position > 0 {
        precondition(Self.isOrdered(keys[position - 1], before: keys[position]), "keys ascend")
      }
    }
    if node.level == 0 {
      entries += node.count
    } else {
      for position in 0...node.count {
        precondition(node.child(at: position).level == node.level - 1, "leaves are at one depth")
        check(
          node.child(at: position),
          low: position > 0 ? keys[position - 1] : low,
          high: position < node.count ? keys[position] : high,
          parentBirth: node.birth, &entries)
      }
    }
  }

  private static func isOrdered(_ left: [UInt8], before right: [UInt8]) -> Bool {
    left.withUnsafeBytes { left in right.withUnsafeBytes { left.isOrdered(before: $0) } }
  }

  /// The addresses of the nodes that this version can see. O(*n*).
  package func reachableNodes() -> Set<UInt> {
    var found: Set<UInt> = []
    var stack = tree.root.map { [$0] } ?? []
    while let node = stack.popLast() {
      found.insert(UInt(bitPattern: node.base))
      if node.level > 0 {
        for position in 0...node.count { stack.append(node.child(at: position)) }
      }
    }
    return found
  }
}

extension RouteIndex {
  /// The bytes of the nodes that this version can see. O(*n*).
  package var nodeByteCount: Int {
    reachableNodes().reduce(0) { sum, address in
      sum + (UnsafeMutableRawPointer(bitPattern: address).map { Node(base: $0).byteCount } ?? 0)
    }
  }
}

extension RouteTable {
  /// The bytes of the nodes of each index. O(*n*).
  package var nodeByteCounts: (byStart: Int, byID: Int, byGroup: Int) {
    (byStart.nodeByteCount, byID.nodeByteCount, byGroup.nodeByteCount)
  }
}
