/// The Merkle tree over the hashes of a log's entries, as far as it takes to go on: the roots of its
/// largest whole subtrees, from left to right.
///
/// The tree is that of RFC 6962, section 2.1, with the entries' hashes as its data. The frontier of
/// *n* entries has a node for each bit of *n*, so it outlives the entries that it was made of.
package struct LogFrontier: Hashable, Sendable {
  /// How many entries there are: the position of the last one.
  package private(set) var count: UInt64 = 0
  /// The roots of the whole subtrees, the largest first.
  package private(set) var nodes: [MerkleHash] = []

  /// The frontier of no entries.
  package init() {}

  /// One that was kept; nil unless there is a node for each bit of `count`.
  package init?(count: UInt64, nodes: [MerkleHash]) {
    guard count.nonzeroBitCount == nodes.count else { return nil }
    (self.count, self.nodes) = (count, nodes)
  }

  /// The position of the last entry.
  package var position: LogPosition { LogPosition(count) }

  /// Takes in the next entry. O(1), amortized.
  package mutating func append(_ hash: EntryHash) {
    var node = MerkleHash(leaf: hash.bytes)
    // As many subtrees merge as the count ends with ones.
    for _ in 0..<(~count).trailingZeroBitCount {
      node = MerkleHash(nodes.removeLast(), node)
    }
    nodes.append(node)
    count += 1
  }

  /// The root of the whole tree. O(log *n*).
  package var root: MerkleHash {
    guard var root = nodes.last else { return .emptyLog }
    for node in nodes.dropLast().reversed() { root = MerkleHash(node, root) }
    return root
  }

  /// The whole subtrees with the entries that they are over, counted from 0.
  package var subtrees: [(entries: Range<UInt64>, node: MerkleHash)] {
    var start: UInt64 = 0
    return nodes.map { node in
      let size = UInt64(1) << (63 - UInt64((count - start).leadingZeroBitCount))
      defer { start += size }
      return (start..<start + size, node)
    }
  }
}
