// Where nodes overflow or run thin: whole nodes are built anew from scratch.
extension RouteIndex.Editor {
  /// Puts what `scratch` holds in the place of the node at a depth of the path: one node, or two
  /// with a separator between them in the node above. `inserted` is the item that is new.
  mutating func rebuild(depth: Int, inserted: Int) {
    let old = path[depth].node
    let level = old.level
    let items = scratch.items.count
    let (low, high) = fences(depth: depth)
    let prefixLength = RouteIndex.commonPrefixLength(low, high)
    if items <= store.limit(level: level),
      scratch.byteCount(of: 0..<items, prefixLength: prefixLength) <= RouteIndex.Node.variableLimit
    {
      let node = scratch.makeNode(
        in: store, level: level, range: 0..<items, children: 0..<scratch.children.count,
        prefixLength: prefixLength, spare: 0, birth: birth)
      return substitute(node, depth: depth)
    }

    let isAppend = high == nil && inserted == items - 1
    let cut = cut(level: level, isAppend: isAppend, prefixLength: prefixLength)
    let (left, right) = makePair(level: level, cut: cut, low: low, high: high)
    let separator = scratch.key(at: cut)
    discard(old)
    if depth == 0 {
      raiseRoot(left, separator, right)
    } else {
      link(left, depth: depth)
      insertSeparator(separator, right, depth: depth - 1)
    }
  }

  /// Which item of `scratch` is to start the second of two nodes, or to separate them.
  private func cut(level: Int, isAppend: Bool, prefixLength: Int) -> Int {
    let items = scratch.items.count
    // Ascending inserts leave full nodes behind.
    if isAppend { return level == 0 ? items - 1 : items - 2 }
    let half = items / 2
    let limit = RouteIndex.Node.variableLimit
    if scratch.byteCount(of: 0..<half, prefixLength: prefixLength) <= limit,
      scratch.byteCount(of: half..<items, prefixLength: prefixLength) <= limit
    {
      return half
    }
    // Keys of very different lengths: cut where half of the bytes are.
    let total = scratch.byteCount(of: 0..<items, prefixLength: prefixLength)
    var position = 1
    while position < items - 2,
      scratch.byteCount(of: 0..<position, prefixLength: prefixLength) < total / 2
    {
      position += 1
    }
    return position
  }

  /// Makes two nodes of what `scratch` holds.
  private mutating func makePair(
    level: Int, cut: Int, low: [UInt8]?, high: [UInt8]?
  ) -> (left: RouteIndex.Node, right: RouteIndex.Node) {
    let items = scratch.items.count
    let separator = scratch.key(at: cut)
    let rightStart = level == 0 ? cut : cut + 1
    let left = scratch.makeNode(
      in: store, level: level, range: 0..<cut, children: 0..<(level == 0 ? 0 : cut + 1),
      prefixLength: RouteIndex.commonPrefixLength(low, separator), spare: 2, birth: birth)
    let right = scratch.makeNode(
      in: store, level: level, range: rightStart..<items,
      children: (level == 0 ? 0 : rightStart)..<(level == 0 ? 0 : items + 1),
      prefixLength: RouteIndex.commonPrefixLength(separator, high), spare: 2, birth: birth)
    return (made(left), made(right))
  }

  private mutating func raiseRoot(
    _ left: RouteIndex.Node, _ separator: [UInt8], _ right: RouteIndex.Node
  ) {
    scratch.removeAll()
    separator.withUnsafeBytes { scratch.append(key: $0, payload: .empty) }
    scratch.children = [left, right]
    root = made(
      scratch.makeNode(
        in: store, level: left.level + 1, range: 0..<1, children: 0..<2, prefixLength: 0, spare: 2,
        birth: birth))
    height += 1
  }

  /// Puts a separator and the child on its right behind the child that the path goes on with.
  private mutating func insertSeparator(
    _ separator: [UInt8], _ right: RouteIndex.Node, depth: Int
  ) {
    let node = path[depth].node
    let position = path[depth].position
    let suffix = separator[node.prefixLength...]
    if node.count < store.innerLimit,
      node.variableCount + suffix.count <= RouteIndex.Node.variableLimit,
      let skip = suffix.withUnsafeBytes({ node.skip(inserting: $0, at: position) })
    {
      makeRoom(depth: depth, suffixLength: suffix.count, payloadLength: 0)
      let node = path[depth].node
      suffix.withUnsafeBytes { node.insert(suffix: $0, skip: skip, child: right, at: position) }
    } else {
      scratch.removeAll()
      scratch.append(contentsOf: node)
      separator.withUnsafeBytes { scratch.insert(key: $0, payload: .empty, at: position) }
      scratch.children.insert(right, at: position + 1)
      rebuild(depth: depth, inserted: position)
    }
  }
}

extension RouteIndex.Editor {
  /// Mends a node that lost an entry or a child: where it ran thin, it and a neighbour become one,
  /// or share evenly.
  mutating func rebalance(depth: Int) {
    let node = path[depth].node
    let level = node.level
    guard depth > 0 else {
      if level > 0, node.count == 0 {
        root = node.child(at: 0)
        height -= 1
        discard(node)
      }
      return
    }
    guard node.count < store.thinLimit(level: level) else { return }

    let parent = path[depth - 1].node
    let position = path[depth - 1].position
    let first = position > 0 ? position - 1 : position
    let left = parent.child(at: first)
    let right = parent.child(at: first + 1)
    scratch.removeAll()
    scratch.append(contentsOf: left)
    if level > 0 { scratch.append(parent, first) }
    scratch.append(contentsOf: right)

    let items = scratch.items.count
    let low = lowFence(child: first, depth: depth - 1)
    let high = highFence(child: first + 1, depth: depth - 1)
    let prefixLength = RouteIndex.commonPrefixLength(low, high)
    if items <= store.limit(level: level),
      scratch.byteCount(of: 0..<items, prefixLength: prefixLength) <= RouteIndex.Node.variableLimit
    {
      let merged = made(
        scratch.makeNode(
          in: store, level: level, range: 0..<items, children: 0..<scratch.children.count,
          prefixLength: prefixLength, spare: 0, birth: birth))
      discard(left)
      discard(right)
      parent.removeSeparator(at: first)
      parent.setChild(merged, at: first)
      return rebalance(depth: depth - 1)
    }

    guard let cut = sharingCut(level: level, thin: node, isLeft: position == first, low, high)
    else { return }
    let (newLeft, newRight) = makePair(level: level, cut: cut, low: low, high: high)
    let separator = scratch.key(at: cut)
    discard(left)
    discard(right)
    parent.removeSeparator(at: first)
    parent.setChild(newLeft, at: first)
    path[depth - 1].position = first
    insertSeparator(separator, newRight, depth: depth - 1)
  }

  /// Where to cut two neighbours' items anew; nil to leave a thin node as it is.
  private func sharingCut(
    level: Int, thin: RouteIndex.Node, isLeft: Bool, _ low: [UInt8]?, _ high: [UInt8]?
  ) -> Int? {
    let items = scratch.items.count
    let half = items / 2
    let separator = scratch.key(at: half)
    let limit = RouteIndex.Node.variableLimit
    let fits =
      scratch.byteCount(
        of: 0..<half, prefixLength: RouteIndex.commonPrefixLength(low, separator)) <= limit
      && scratch.byteCount(
        of: half..<items, prefixLength: RouteIndex.commonPrefixLength(separator, high)) <= limit
    if fits { return half }
    // A thin node whose fences move apart may have to spell out what was prefix before. An empty
    // one takes a single key, which always fits.
    guard thin.count == 0 else { return nil }
    if isLeft { return 1 }
    return level == 0 ? items - 1 : items - 2
  }
}

extension RouteIndex.Editor {
  /// The separators around the node at a depth of the path; nil where there is none.
  private func fences(depth: Int) -> (low: [UInt8]?, high: [UInt8]?) {
    guard depth > 0 else { return (nil, nil) }
    let position = path[depth - 1].position
    return (
      lowFence(child: position, depth: depth - 1), highFence(child: position, depth: depth - 1)
    )
  }

  private func lowFence(child: Int, depth: Int) -> [UInt8]? {
    if child > 0 { return RouteIndex.Entry(node: path[depth].node, position: child - 1).key }
    return depth > 0 ? lowFence(child: path[depth - 1].position, depth: depth - 1) : nil
  }

  private func highFence(child: Int, depth: Int) -> [UInt8]? {
    let node = path[depth].node
    if child < node.count { return RouteIndex.Entry(node: node, position: child).key }
    return depth > 0 ? highFence(child: path[depth - 1].position, depth: depth - 1) : nil
  }
}

extension IndexStore {
  /// A node with fewer keys is merged with a neighbour or shares with it, where that is possible.
  func thinLimit(level: Int) -> Int {
    level == 0 ? (leafLimit * 3 + 7) / 8 : max(1, innerLimit * 3 / 8)
  }
}

extension UnsafeRawBufferPointer {
  /// No bytes.
  static var empty: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }
}
