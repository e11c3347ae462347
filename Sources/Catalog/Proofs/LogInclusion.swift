/// Proofs that an entry is in the log's tree; see ``LogFrontier``.
package enum LogInclusion {
  /// How many leaves the left part has, of a tree of `count` > 1: the largest power of two below.
  package static func split(_ count: UInt64) -> UInt64 {
    precondition(count > 1, "a leaf has no parts")
    return 1 << (63 - UInt64((count - 1).leadingZeroBitCount))
  }

  /// The nodes beside the way from the entry at `position` to the root of the tree over the first
  /// `count` entries, the lowest first. `root` tells the root of the tree over some of the entries,
  /// counted from 0. O(log *n*) calls of it.
  ///
  /// - Precondition: The entry is one of them.
  package static func path<Failure: Error>(
    of position: LogPosition, count: UInt64,
    root: (Range<UInt64>) throws(Failure) -> MerkleHash
  ) throws(Failure) -> [MerkleHash] {
    precondition(position > .zero && position.rawValue <= count, "the entry is in the tree")
    let index = position.rawValue - 1
    var path: [MerkleHash] = []
    var range = 0..<count
    while range.count > 1 {
      let middle = range.lowerBound + split(UInt64(range.count))
      if index < middle {
        path.append(try root(middle..<range.upperBound))
        range = range.lowerBound..<middle
      } else {
        path.append(try root(range.lowerBound..<middle))
        range = middle..<range.upperBound
      }
    }
    return path.reversed()
  }

  /// The root of the tree over `count` entries that has an entry with `hash` at `position`, given
  /// the nodes beside its way; nil when there is no such way. O(log *n*).
  ///
  /// RFC 9162, section 2.1.3.2.
  package static func root(
    of hash: EntryHash, at position: LogPosition, count: UInt64, path: [MerkleHash]
  ) -> MerkleHash? {
    guard position > .zero, position.rawValue <= count else { return nil }
    var index = position.rawValue - 1
    var last = count - 1
    var root = MerkleHash(leaf: hash.bytes)
    for node in path {
      guard last > 0 else { return nil }
      if index & 1 == 1 || index == last {
        root = MerkleHash(node, root)
        // Levels on which there is nothing beside the way.
        while index & 1 == 0, index > 0 {
          index >>= 1
          last >>= 1
        }
      } else {
        root = MerkleHash(root, node)
      }
      index >>= 1
      last >>= 1
    }
    return last == 0 ? root : nil
  }
}
