extension RouteIndex {
  /// Makes the next version in place: all of `body`'s changes, or none when it throws.
  package mutating func edit<Result, Failure: Error>(
    _ body: (inout Editor) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var editor = Editor(of: self)
    let result = try body(&editor)
    self = editor.finish()
    return result
  }

  /// The next version of an index in the making.
  ///
  /// A node that the edit changes for the first time is copied, with the path to it; the copy
  /// carries the edit's serial and is changed in place from then on. What was made is freed when
  /// the editor goes away without ``finish()``.
  package struct Editor: ~Copyable, Sendable {
    let base: Version
    private let baseTrees: Trees
    let store: IndexStore
    let birth: UInt64
    private(set) var trees: Trees
    /// Which of the trees is being changed.
    private var selected = 0
    /// The nodes of `base` that were replaced.
    var dead: [DeadNode] = []
    /// From the root to a leaf, set by `descend`.
    var path = Path()
    var scratch = Scratch()
    private var made = (nodes: 0, bytes: 0)
    private var isFinished = false

    /// Begins an edit of `base`.
    package init(of base: RouteIndex) {
      var trees = Trees()
      trees[0] = base.tree
      self.init(of: trees, base.version)
    }

    /// Begins an edit of all trees of a version.
    init(of trees: Trees, _ version: Version) {
      self.init(trees, birth: version.store.nextSerial(), base: version, baseTrees: trees)
    }

    private init(_ trees: Trees, birth: UInt64, base: Version, baseTrees: Trees) {
      self.base = base
      self.baseTrees = baseTrees
      store = base.store
      self.birth = birth
      self.trees = trees
    }

    /// Lets somebody else change two of the trees, who may do so on another thread, until ``join(_:)``;
    /// here they are empty until then.
    mutating func fork(_ first: Int, _ second: Int) -> Self {
      var forked = Trees()
      for tree in [first, second] { swap(&forked[tree], &trees[tree]) }
      return Self(forked, birth: birth, base: base, baseTrees: baseTrees)
    }

    /// Takes back the trees of ``fork(_:_:)``, and what became of them.
    mutating func join(_ other: consuming Self) {
      for tree in trees.indices where other.trees[tree].height > 0 {
        trees[tree] = other.trees[tree]
      }
      dead.append(contentsOf: other.dead)
      made.nodes += other.made.nodes
      made.bytes += other.made.bytes
      other.isFinished = true
    }

    deinit {
      guard !isFinished else { return }
      for tree in trees.indices {
        if let root = trees[tree].root, root.birth == birth { Self.free(root, birth, store) }
      }
    }

    var root: Node? {
      @inline(__always) get { trees[selected].root }
      @inline(__always) set { trees[selected].root = newValue }
    }

    var height: Int {
      get { trees[selected].height }
      set { trees[selected].height = newValue }
    }

    /// How many entries the tree has by now that was changed last.
    package internal(set) var count: Int {
      get { trees[selected].count }
      set { trees[selected].count = newValue }
    }

    /// Lets what follows work on one of the trees.
    @inline(__always)
    mutating func select(_ tree: Int) { selected = tree }

    /// Ends the edit: the next version.
    package consuming func finish() -> RouteIndex {
      let trees = trees
      return RouteIndex(version: finishVersion(), tree: trees[0])
    }

    /// Ends the edit: the next version, which is the old one when nothing changed.
    consuming func finishVersion() -> Version {
      isFinished = true
      guard trees.indices.contains(where: { trees[$0].root != baseTrees[$0].root }) else {
        return base
      }
      store.count(nodes: made.nodes, bytes: made.bytes)
      let version = store.makeVersion(of: trees, parent: base, serial: birth, dead: dead)
      store.helpReclaim(limit: 2 * dead.count + 64)
      return version
    }

    /// Frees what the edit made below and with a node.
    private static func free(_ root: Node, _ birth: UInt64, _ store: IndexStore) {
      if root.level > 0 {
        for position in 0...root.count where root.child(at: position).birth == birth {
          free(root.child(at: position), birth, store)
        }
      }
      store.deallocate(root)
    }

    /// Takes account of a node that was made, and hands it on.
    mutating func made(_ node: Node) -> Node {
      made.nodes += 1
      made.bytes += node.byteCount
      return node
    }

    /// Gives up a node: one of this edit at once, one of `base` when nobody sees it any more.
    mutating func discard(_ node: Node) {
      if node.birth == birth {
        made.nodes -= 1
        made.bytes -= node.byteCount
        store.deallocate(node)
      } else {
        if dead.isEmpty { dead.reserveCapacity(8) }
        dead.append(DeadNode(node: node, birth: node.birth))
      }
    }
  }
}

extension RouteIndex.Editor {
  /// Sets the payload of a key.
  ///
  /// - Returns: Whether the key is new.
  /// - Precondition: Key and payload are not longer than the index's limits.
  /// - Complexity: Copies O(log *n*) nodes that the edit has not copied yet.
  @discardableResult
  package mutating func upsert(
    key: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer, in tree: Int = 0
  ) -> Bool {
    select(tree)
    precondition(key.count <= RouteIndex.maximumKeyLength, "a key that is too long for the index")
    precondition(
      payload.count <= RouteIndex.maximumPayloadLength, "a payload that is too long for the index")
    guard root != nil else {
      plant(key: key, payload: payload)
      return true
    }
    let needle = RouteIndex.Needle(key)
    descend(to: needle)
    let depth = path.count - 1
    let leaf = path[depth].node
    let rank = leaf.countOfKeys(atOrBefore: needle)
    if rank > 0, leaf.key(at: rank - 1, equals: needle) {
      replacePayload(at: rank - 1, depth: depth, with: payload)
      return false
    }
    count += 1
    let suffix = needle.suffix(from: leaf.prefixLength)
    if leaf.count < store.leafLimit,
      leaf.variableCount + suffix.count + payload.count <= RouteIndex.Node.variableLimit,
      let skip = leaf.skip(inserting: suffix, at: rank)
    {
      makeRoom(depth: depth, suffixLength: suffix.count, payloadLength: payload.count)
      path[depth].node.insert(suffix: suffix, skip: skip, payload: payload, at: rank)
    } else {
      scratch.removeAll()
      scratch.append(contentsOf: leaf)
      scratch.insert(key: key, payload: payload, at: rank)
      rebuild(depth: depth, inserted: rank)
    }
    return true
  }

  /// Goes to the entry of a key, and tells which one follows it; nil when it is not there. Both are
  /// valid until the next change; ``splitFound(payload:newKey:newPayload:)`` goes on from there.
  mutating func find(
    _ needle: RouteIndex.Needle, in tree: Int
  ) -> (entry: RouteIndex.Entry, next: RouteIndex.Entry?)? {
    select(tree)
    guard root != nil else { return nil }
    descend(to: needle)
    let depth = path.count - 1
    let leaf = path[depth].node
    let rank = leaf.countOfKeys(atOrBefore: needle)
    guard rank > 0, leaf.key(at: rank - 1, equals: needle) else { return nil }
    path[depth].position = rank - 1
    let next =
      rank < leaf.count
      ? RouteIndex.Entry(node: leaf, position: rank) : trees[tree].entries(around: needle).after
    return (RouteIndex.Entry(node: leaf, position: rank - 1), next)
  }

  /// Gives the entry that was found last another payload, and puts a new one between it and the next,
  /// without another way down the tree. For most: false, and nothing happens, where both do not go into
  /// the leaf.
  ///
  /// - Precondition: Nothing changed since the entry was found, and the new key is between the two.
  mutating func splitFound(
    payload: UnsafeRawBufferPointer, newKey: UnsafeRawBufferPointer,
    newPayload: UnsafeRawBufferPointer
  ) -> Bool {
    let depth = path.count - 1
    let leaf = path[depth].node
    let position = path[depth].position
    // Past the last key of a leaf the new one may belong to the next.
    guard position + 1 < leaf.count, leaf.count < store.leafLimit else { return false }
    let suffix = RouteIndex.Needle(newKey).suffix(from: leaf.prefixLength)
    let added = newPayload.count + max(0, payload.count - leaf.payload(at: position).count)
    guard leaf.variableCount + suffix.count + added <= RouteIndex.Node.variableLimit,
      let skip = leaf.skip(inserting: suffix, at: position + 1)
    else { return false }
    makeRoom(depth: depth, suffixLength: suffix.count, payloadLength: added)
    let node = path[depth].node
    node.replacePayload(at: position, with: payload)
    node.insert(suffix: suffix, skip: skip, payload: newPayload, at: position + 1)
    count += 1
    return true
  }

  /// Removes a key.
  ///
  /// - Returns: Whether it was there.
  /// - Complexity: Copies O(log *n*) nodes that the edit has not copied yet.
  @discardableResult
  package mutating func remove(key: UnsafeRawBufferPointer, from tree: Int = 0) -> Bool {
    select(tree)
    let needle = RouteIndex.Needle(key)
    guard trees[tree].entry(at: needle) != nil else { return false }
    descend(to: needle)
    let depth = path.count - 1
    own(depth: depth)
    let leaf = path[depth].node
    leaf.removeEntry(at: leaf.countOfKeys(atOrBefore: needle) - 1)
    count -= 1
    if count == 0 {
      discard(leaf)
      root = nil
      height = 0
    } else {
      rebalance(depth: depth)
    }
    return true
  }

  /// Makes the first entry's leaf.
  private mutating func plant(key: UnsafeRawBufferPointer, payload: UnsafeRawBufferPointer) {
    scratch.removeAll()
    scratch.append(key: key, payload: payload)
    root = made(
      scratch.makeNode(
        in: store, level: 0, range: 0..<1, children: 0..<0, prefixLength: 0, spare: 0, birth: birth)
    )
    height = 1
    count = 1
  }

  /// Sets `path` to the leaf of a needle; its inner nodes are the edit's own afterwards.
  private mutating func descend(to needle: RouteIndex.Needle) {
    path.removeAll()
    guard var node = root else { return }
    while node.level > 0 {
      path.append(node)
      own(depth: path.count - 1)
      node = path[path.count - 1].node
      let rank = node.countOfKeys(atOrBefore: needle)
      path[path.count - 1].position = rank
      node = node.prefetchedChild(at: rank)
    }
    path.append(node)
  }

  /// Makes the node at a depth of the path the edit's own.
  private mutating func own(depth: Int) {
    let node = path[depth].node
    guard node.birth != birth else { return }
    substitute(node.copied(in: store, birth: birth), depth: depth)
  }

  /// Makes the node at a depth of the path the edit's own, with room for one more entry.
  mutating func makeRoom(depth: Int, suffixLength: Int, payloadLength: Int) {
    let node = path[depth].node
    guard node.hasRoom(suffixLength: suffixLength, payloadLength: payloadLength) else {
      let copy = node.copied(
        in: store, birth: birth, limit: store.limit(level: node.level), suffixLength: suffixLength,
        payloadLength: payloadLength)
      return substitute(copy, depth: depth)
    }
    own(depth: depth)
  }

  private mutating func replacePayload(
    at position: Int, depth: Int, with payload: UnsafeRawBufferPointer
  ) {
    let leaf = path[depth].node
    let added = payload.count - leaf.payload(at: position).count
    if leaf.variableCount + max(0, added) > RouteIndex.Node.variableLimit {
      scratch.removeAll()
      for entry in 0..<leaf.count where entry != position { scratch.append(leaf, entry) }
      var key = [UInt8](repeating: 0, count: RouteIndex.maximumKeyLength)
      key.withUnsafeMutableBytes { buffer in
        let length = leaf.copyKey(at: position, into: buffer)
        scratch.insert(
          key: UnsafeRawBufferPointer(rebasing: buffer[..<length]), payload: payload, at: position)
      }
      return rebuild(depth: depth, inserted: position)
    }
    if leaf.variableCount + added <= leaf.variableCapacity {
      own(depth: depth)
    } else {
      let copy = leaf.copied(
        in: store, birth: birth, limit: store.leafLimit, suffixLength: 0, payloadLength: added)
      substitute(copy, depth: depth)
    }
    path[depth].node.replacePayload(at: position, with: payload)
  }

  /// Puts a node that was just made in the place of the one at a depth of the path.
  mutating func substitute(_ node: RouteIndex.Node, depth: Int) {
    discard(path[depth].node)
    link(made(node), depth: depth)
  }

  /// Makes a node the one at a depth of the path.
  mutating func link(_ node: RouteIndex.Node, depth: Int) {
    path[depth].node = node
    if depth == 0 {
      root = node
    } else {
      path[depth - 1].node.setChild(node, at: path[depth - 1].position)
    }
  }
}
