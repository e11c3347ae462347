/// What is wrong with a stored node.
package struct StoredNodeError: Error, Hashable, Sendable {
  /// The node's id; 0 for what is wrong with a tree that names no node.
  package let node: UInt64
  package let problem: Problem

  package init(_ problem: Problem, node: UInt64) {
    self.node = node
    self.problem = problem
  }

  package enum Problem: Error, Hashable, Sendable {
    /// No node has the id.
    case missing
    /// The bytes are not those that the node above, or the root's row, vouches for.
    case wrongHash(expected: EntryHash, found: EntryHash)
    /// A format that this reader does not know; it knows ``StoredNode/format``.
    case unknownFormat(UInt8)
    /// A number is not of the form that it has, or the bytes end too early.
    case malformed(LogCodingError)
    /// Bytes follow the last thing that belongs to the node.
    case trailingBytes(count: Int)
    case wrongLevel(expected: Int, found: Int)
    /// A node without keys.
    case empty
    case tooManyKeys(Int, limit: Int)
    /// A key or payload at this position that is longer than any.
    case tooLong(position: Int)
    /// More bytes than a node in memory has room for.
    case tooLarge(byteCount: Int)
    /// The key at this position is not after the one before it.
    case keysNotAscending(position: Int)
    /// A key does not lie between the separators around the node, or these do not begin as all keys
    /// of the node do.
    case outsideSeparators
    /// The child at this position has the id 0.
    case badChild(position: Int)
    /// The row of a route at this position is not of the form that rows have.
    case badRow(position: Int, LogCodingError)
    /// The entry at this position is not one of this tree's: a key or value of another length, or an
    /// id that was not given.
    case badEntry(position: Int)
    /// The first route does not start at the least key.
    case noFirstRoute
    /// The tree has another number of entries than is said of it; counting ends at the first too
    /// many.
    case wrongCount(expected: Int, found: Int)
    /// Height, number of entries and root of a tree, or those of the trees, do not go together.
    case impossibleTree
    /// The entry at this position is at odds with the other trees.
    case treesDisagree(position: Int)
  }
}

extension StoredNodeError: CustomStringConvertible {
  /// Which node, and what is wrong with it.
  package var description: String {
    node == 0 ? "the stored trees: \(problem)" : "the stored node \(node): \(problem)"
  }
}

extension StoredNodeError.Problem: CustomStringConvertible {
  package var description: String {
    switch self {
    case .missing: "it is not there"
    case .wrongHash(let expected, let found):
      "its bytes have the hash \(found), and not \(expected)"
    case .unknownFormat(let format):
      "format \(format) is unknown here, format \(StoredNode.format) is the newest that is known"
    case .malformed(let error): "byte \(error.offset): \(error.problem)"
    case .trailingBytes(let count): "\(count) bytes follow its end"
    case .wrongLevel(let expected, let found): "it is of level \(found), and not \(expected)"
    case .empty: "it has no keys"
    case .tooManyKeys(let count, let limit):
      "it has \(count) keys, where at most \(limit) are allowed"
    case .tooLong(let position): "key \(position) or its value is longer than is allowed"
    case .tooLarge(let count): "it has \(count) bytes, more than a node has room for"
    case .keysNotAscending(let position): "key \(position) is not after the one before it"
    case .outsideSeparators: "its keys are not between the separators above it"
    case .badChild(let position): "its child \(position) has no id"
    case .badRow(let position, let error):
      "row \(position), byte \(error.offset): \(error.problem)"
    case .badEntry(let position): "entry \(position) does not belong into its tree"
    case .noFirstRoute: "the first route does not start at the least key"
    case .wrongCount(let expected, let found):
      "the tree has \(found) entries or more, and not \(expected)"
    case .impossibleTree: "height, root and number of entries do not go together"
    case .treesDisagree(let position): "entry \(position) is at odds with the other trees"
    }
  }
}

/// An error of whoever reads stored nodes, which has a case for a node that is damaged.
package protocol StoredNodeFailure: Error {
  static func damagedNode(_ error: StoredNodeError) -> Self
}

extension StoredNodeError: StoredNodeFailure {
  package static func damagedNode(_ error: StoredNodeError) -> StoredNodeError { error }
}
