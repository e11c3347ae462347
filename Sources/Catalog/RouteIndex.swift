import CIntrinsics

/// An ordered map from byte keys to small payloads that nobody but its owner interprets: a
/// persistent B+tree of raw nodes.
///
/// A copy costs O(1). ``edit(_:)`` makes the next version, which shares with this one all that did
/// not change; both stay what they are. Readers touch no reference counts on the way down: a copy
/// of the struct, which retains one ``Version``, keeps every node alive that it can reach.
///
/// Keys are ordered as unsigned bytes, a key before every key that extends it. They have at most
/// ``maximumKeyLength`` bytes, payloads at most ``maximumPayloadLength``.
package struct RouteIndex: Sendable {
  /// The longest key, in bytes: a ``Key`` and two numbers.
  package static let maximumKeyLength = Key.maximumLength + 16
  /// The longest payload, in bytes.
  package static let maximumPayloadLength = 8192
  /// How many bytes past its end a lent payload may be read; what stands there is undefined.
  package static let payloadPadding = 16

  /// Keeps the nodes from being freed.
  let version: Version
  let root: Node?
  /// Levels of nodes: 0 when empty, 1 when the root is a leaf.
  let height: Int
  /// How many entries there are.
  package let count: Int

  init(version: Version, root: Node?, height: Int, count: Int) {
    self.version = version
    self.root = root
    self.height = height
    self.count = count
  }

  /// An empty index whose nodes live in `store`.
  package init(in store: IndexStore = IndexStore()) {
    self.init(
      version: store.makeFirstVersion(roots: (nil, nil, nil)), root: nil, height: 0, count: 0)
  }

  package var isEmpty: Bool { count == 0 }

  /// Where the nodes live.
  package var store: IndexStore { version.store }
}

extension RouteIndex {
  /// An entry, lent: valid while the index that it was found in is alive.
  package struct Entry {
    let node: Node
    let position: Int

    /// The payload's bytes, and ``RouteIndex/payloadPadding`` more that may be read.
    @inline(__always)
    package var payload: UnsafeRawBufferPointer { node.payload(at: position) }

    /// How many bytes the key has.
    package var keyLength: Int { node.prefixLength + node.suffixLength(at: position) }

    /// A copy of the key.
    package var key: [UInt8] {
      [UInt8](unsafeUninitializedCapacity: keyLength) { buffer, count in
        count = copyKey(into: UnsafeMutableRawBufferPointer(buffer))
      }
    }

    /// Writes the key to the front of `target`; the number of bytes written.
    ///
    /// - Precondition: `target` has room for ``keyLength`` bytes.
    @discardableResult
    package func copyKey(into target: UnsafeMutableRawBufferPointer) -> Int {
      node.copyKey(at: position, into: target)
    }
  }

  /// Lends the last entry whose key is at or before `key`; nil when all are after it.
  /// O(log *n*), allocates nothing.
  @inline(__always)
  package func withEntry<Result, Failure: Error>(
    atOrBefore key: UnsafeRawBufferPointer,
    _ body: (Entry?) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // Nothing but `version` keeps the nodes alive, and the optimizer cannot see that they need it.
    defer { withExtendedLifetime(version) {} }
    guard let root else { return try body(nil) }
    let needle = Needle(key)
    var node = root
    while node.level > 0 {
      node = node.prefetchedChild(at: node.countOfKeys(atOrBefore: needle))
    }
    let rank = node.countOfKeys(atOrBefore: needle)
    if rank > 0 { return try body(Entry(node: node, position: rank - 1)) }
    // The key lies between the leaf's separator and its first key: it belongs to the leaf before.
    return try body(lastEntry(before: needle))
  }

  /// Lends the entry whose key is `key`, or nil. O(log *n*), allocates nothing.
  package func withEntry<Result, Failure: Error>(
    at key: UnsafeRawBufferPointer, _ body: (Entry?) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    defer { withExtendedLifetime(version) {} }
    guard let root else { return try body(nil) }
    let needle = Needle(key)
    var node = root
    while node.level > 0 {
      node = node.prefetchedChild(at: node.countOfKeys(atOrBefore: needle))
    }
    let rank = node.countOfKeys(atOrBefore: needle)
    guard rank > 0, node.key(at: rank - 1, equals: needle) else { return try body(nil) }
    return try body(Entry(node: node, position: rank - 1))
  }

  /// Lends the last entry whose key is at or before `key` and the entry that follows it; either is
  /// nil when there is none. O(log *n*), allocates nothing.
  package func withEntries<Result, Failure: Error>(
    around key: UnsafeRawBufferPointer,
    _ body: (_ atOrBefore: Entry?, _ after: Entry?) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    defer { withExtendedLifetime(version) {} }
    guard let root else { return try body(nil, nil) }
    let pair = Self.entries(around: Needle(key), under: root)
    return try body(pair.atOrBefore, pair.after)
  }

  /// The entries on both sides of a needle in the tree of `root`.
  static func entries(around needle: Needle, under root: Node) -> (
    atOrBefore: Entry?, after: Entry?
  ) {
    var node = root
    var before: Node?
    var after: Node?
    while node.level > 0 {
      let rank = node.countOfKeys(atOrBefore: needle)
      if rank > 0 { before = node.child(at: rank - 1) }
      if rank < node.count { after = node.child(at: rank + 1) }
      node = node.prefetchedChild(at: rank)
    }
    let rank = node.countOfKeys(atOrBefore: needle)
    return (
      rank > 0 ? Entry(node: node, position: rank - 1) : before.map(lastEntry(under:)),
      rank < node.count ? Entry(node: node, position: rank) : after.map(firstEntry(under:))
    )
  }

  @inline(never)
  private func lastEntry(before needle: Needle) -> Entry? {
    root.flatMap { Self.entries(around: needle, under: $0).atOrBefore }
  }

  static func firstEntry(under root: Node) -> Entry {
    var node = root
    while node.level > 0 { node = node.child(at: 0) }
    return Entry(node: node, position: 0)
  }

  static func lastEntry(under root: Node) -> Entry {
    var node = root
    while node.level > 0 { node = node.child(at: node.count) }
    return Entry(node: node, position: node.count - 1)
  }
}
