extension RouteIndex {
  /// Builds an index from entries that come in the order of their keys: full leaves, no slack.
  package struct Builder: ~Copyable {
    private let store: IndexStore
    private let birth: UInt64
    private var scratch = Scratch()
    /// Bytes in `scratch`.
    private var pending = 0
    private var leaves = Level()
    private var count = 0
    private var made = (nodes: 0, bytes: 0)
    private var isFinished = false

    /// The nodes of one level, with the keys that start them.
    private struct Level {
      var nodes: [Node] = []
      var starts = Scratch()
    }

    package init(in store: IndexStore) {
      self.init(in: store, birth: store.nextSerial())
    }

    /// Begins an index of a version that has others of the same birth.
    init(in store: IndexStore, birth: UInt64) {
      self.store = store
      self.birth = birth
    }

    deinit {
      if !isFinished { for leaf in leaves.nodes { store.deallocate(leaf) } }
    }

    /// Appends an entry.
    ///
    /// - Precondition: `key` sorts after the one before; neither is longer than the index's limits.
    package mutating func append(key: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer) {
      precondition(key.count <= RouteIndex.maximumKeyLength, "a key that is too long for the index")
      precondition(
        payload.count <= RouteIndex.maximumPayloadLength, "a payload too long for the index")
      let items = scratch.items.count
      if items > 0 {
        precondition(
          scratch.withKey(at: items - 1) { $0.isOrdered(before: key) }, "keys must ascend")
      }
      let bytes = key.count + payload.count
      // Counted without the prefix, which is not known before the key that follows the leaf.
      if items == store.leafLimit || pending + bytes > Node.variableLimit {
        flushLeaf(high: Array(key))
      }
      scratch.append(key: key, payload: payload)
      pending += bytes
      count += 1
    }

    private mutating func flushLeaf(high: [UInt8]?) {
      let first = scratch.key(at: 0)
      let low = leaves.nodes.isEmpty ? nil : first
      let leaf = scratch.makeNode(
        in: store, level: 0, range: 0..<scratch.items.count, children: 0..<0,
        prefixLength: commonPrefixLength(low, high), spare: 0, birth: birth)
      made.nodes += 1
      made.bytes += leaf.byteCount
      leaves.nodes.append(leaf)
      first.withUnsafeBytes { leaves.starts.append(key: $0, payload: .empty) }
      scratch.removeAll()
      pending = 0
    }

    /// The index of all that was appended.
    package consuming func finish() -> RouteIndex {
      let (store, birth) = (store, birth)
      var trees = Trees()
      trees[0] = finishTree()
      return RouteIndex(
        version: store.makeFirstVersion(of: trees, serial: birth), tree: trees[0])
    }

    /// The version with all that was appended to three builders of one birth.
    static func finish(
      _ first: consuming Builder, _ second: consuming Builder, _ third: consuming Builder
    ) -> (version: Version, trees: Trees) {
      precondition(first.birth == second.birth && first.birth == third.birth, "one version")
      let (store, birth) = (first.store, first.birth)
      let trees: Trees = [first.finishTree(), second.finishTree(), third.finishTree()]
      return (store.makeFirstVersion(of: trees, serial: birth), trees)
    }

    private consuming func finishTree() -> Tree {
      isFinished = true
      guard count > 0 else { return Tree() }
      flushLeaf(high: nil)
      var level = exchange(&leaves, with: Level())
      var height = 1
      while level.nodes.count > 1 {
        level = raise(level, to: height)
        height += 1
      }
      store.count(nodes: made.nodes, bytes: made.bytes)
      return Tree(root: level.nodes[0], height: height, count: count)
    }

    /// Makes the nodes above a level's.
    private mutating func raise(_ below: Level, to level: Int) -> Level {
      var above = Level()
      var start = 0
      while start < below.nodes.count {
        let end = endOfNode(from: start, in: below)
        let low = start == 0 ? nil : below.starts.key(at: start)
        let high = end == below.nodes.count ? nil : below.starts.key(at: end)
        // The start of the first child is no separator: the node's own fence stands for it.
        scratch.removeAll()
        for child in start..<end {
          if child > start {
            below.starts.withKey(at: child) { scratch.append(key: $0, payload: .empty) }
          }
          scratch.children.append(below.nodes[child])
        }
        let node = scratch.makeNode(
          in: store, level: level, range: 0..<end - start - 1, children: 0..<end - start,
          prefixLength: commonPrefixLength(low, high), spare: 0, birth: birth)
        made.nodes += 1
        made.bytes += node.byteCount
        above.nodes.append(node)
        below.starts.withKey(at: start) { above.starts.append(key: $0, payload: .empty) }
        start = end
      }
      return above
    }

    /// Where the children end of the node that starts with child `start`.
    private func endOfNode(from start: Int, in level: Level) -> Int {
      var end = start + 1
      var bytes = 0
      while end < level.nodes.count, end - start <= store.innerLimit {
        bytes += level.starts.items[end].key.count
        if bytes > Node.variableLimit { break }
        end += 1
      }
      // A single child at the end would make a node without separators.
      return level.nodes.count - end == 1 && end - start > 2 ? end - 1 : end
    }
  }
}

/// Replaces a value and hands out the old one.
func exchange<Value>(_ value: inout Value, with new: Value) -> Value {
  let old = value
  value = new
  return old
}
