extension RouteIndex {
  /// One tree of nodes, kept alive by whoever has it.
  struct Tree: Sendable {
    var root: Node?
    /// Levels of nodes: 0 when empty, 1 when the root is a leaf.
    var height = 0
    /// How many entries there are.
    var count = 0
  }

  /// The trees of one version: one alone, or those of a table, which change together.
  typealias Trees = InlineArray<3, Tree>
}

extension RouteIndex.Trees {
  /// Three empty ones.
  init() { self.init(repeating: RouteIndex.Tree()) }
}

extension RouteIndex.Tree {
  /// The last entry whose key is at or before the needle.
  @inline(__always)
  func entry(atOrBefore needle: RouteIndex.Needle) -> RouteIndex.Entry? {
    guard let root else { return nil }
    var node = root
    while node.level > 0 {
      node = node.prefetchedChild(at: node.countOfKeys(atOrBefore: needle))
    }
    let rank = node.countOfKeys(atOrBefore: needle)
    if rank > 0 { return RouteIndex.Entry(node: node, position: rank - 1) }
    // The needle is between the leaf's separator and its first key: it belongs to the leaf before.
    return lastEntry(before: needle)
  }

  /// The entry whose key is the needle.
  func entry(at needle: RouteIndex.Needle) -> RouteIndex.Entry? {
    guard let root else { return nil }
    var node = root
    while node.level > 0 {
      node = node.prefetchedChild(at: node.countOfKeys(atOrBefore: needle))
    }
    let rank = node.countOfKeys(atOrBefore: needle)
    guard rank > 0, node.key(at: rank - 1, equals: needle) else { return nil }
    return RouteIndex.Entry(node: node, position: rank - 1)
  }

  /// The last entry whose key is at or before the needle, and the one that follows it.
  func entries(
    around needle: RouteIndex.Needle
  ) -> (atOrBefore: RouteIndex.Entry?, after: RouteIndex.Entry?) {
    guard let root else { return (nil, nil) }
    var node = root
    var before: RouteIndex.Node?
    var after: RouteIndex.Node?
    while node.level > 0 {
      let rank = node.countOfKeys(atOrBefore: needle)
      if rank > 0 { before = node.child(at: rank - 1) }
      if rank < node.count { after = node.child(at: rank + 1) }
      node = node.prefetchedChild(at: rank)
    }
    let rank = node.countOfKeys(atOrBefore: needle)
    return (
      rank > 0 ? RouteIndex.Entry(node: node, position: rank - 1) : before.map(Self.lastEntry),
      rank < node.count ? RouteIndex.Entry(node: node, position: rank) : after.map(Self.firstEntry)
    )
  }

  /// Asks for the cache lines of the leaf where the needle belongs.
  func prefetchLeaf(of needle: RouteIndex.Needle) {
    guard var node = root else { return }
    while node.level > 0 {
      let isAboveLeaf = node.level == 1
      node = node.prefetchedChild(at: node.countOfKeys(atOrBefore: needle))
      if isAboveLeaf { return }
    }
  }

  @inline(never)
  private func lastEntry(before needle: RouteIndex.Needle) -> RouteIndex.Entry? {
    entries(around: needle).atOrBefore
  }

  private static func firstEntry(under root: RouteIndex.Node) -> RouteIndex.Entry {
    var node = root
    while node.level > 0 { node = node.child(at: 0) }
    return RouteIndex.Entry(node: node, position: 0)
  }

  private static func lastEntry(under root: RouteIndex.Node) -> RouteIndex.Entry {
    var node = root
    while node.level > 0 { node = node.child(at: node.count) }
    return RouteIndex.Entry(node: node, position: node.count - 1)
  }
}
