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
  let tree: Tree

  init(version: Version, tree: Tree) {
    self.version = version
    self.tree = tree
  }

  /// An empty index whose nodes live in `store`.
  package init(in store: IndexStore = IndexStore()) {
    self.init(version: store.makeFirstVersion(of: Trees()), tree: Tree())
  }

  /// How many entries there are.
  package var count: Int { tree.count }
  package var isEmpty: Bool { tree.count == 0 }

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
  package func withEntry<Result, Failure: Error>(
    atOrBefore key: UnsafeRawBufferPointer,
    _ body: (Entry?) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // Nothing but `version` keeps the nodes alive, and the optimizer cannot see that they need it.
    defer { withExtendedLifetime(version) {} }
    return try body(tree.entry(atOrBefore: Needle(key)))
  }

  /// Lends the entry whose key is `key`, or nil. O(log *n*), allocates nothing.
  package func withEntry<Result, Failure: Error>(
    at key: UnsafeRawBufferPointer, _ body: (Entry?) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    defer { withExtendedLifetime(version) {} }
    return try body(tree.entry(at: Needle(key)))
  }

  /// Lends the last entry whose key is at or before `key` and the entry that follows it; either is
  /// nil when there is none. O(log *n*), allocates nothing.
  package func withEntries<Result, Failure: Error>(
    around key: UnsafeRawBufferPointer,
    _ body: (_ atOrBefore: Entry?, _ after: Entry?) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    defer { withExtendedLifetime(version) {} }
    let pair = tree.entries(around: Needle(key))
    return try body(pair.atOrBefore, pair.after)
  }
}
