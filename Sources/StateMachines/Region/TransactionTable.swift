import Catalog

/// All transactions that a region decides or has decided, by id.
///
/// A radix tree over the ids' half bytes, of which a change copies a path: a copy of the table costs
/// O(1), and a million decisions do not make the next one dearer.
package struct TransactionTable: Sendable {
  private indirect enum Node: Sendable {
    /// At most ``leafCapacity`` of them, unless their ids end here; by id.
    case leaf([Transaction])
    /// Sixteen, by the next half byte of the id.
    case branch([Node])
  }

  private static let leafCapacity = 16
  private static let depthLimit = 2 * TransactionID.byteCount

  private var root = Node.leaf([])
  package private(set) var count = 0
  /// Those that are undecided, with their expiry.
  package private(set) var pending: [TransactionID: HybridTimestamp] = [:]
  /// The latest timestamp that any was committed at; zero when none was.
  package private(set) var latestCommit = HybridTimestamp.zero
  /// The sum of the transactions' records.
  package private(set) var digest = StateDigest.zero

  package init() {}

  /// O(log *n*).
  package subscript(id: TransactionID) -> Transaction? {
    var node = root
    for depth in 0...Self.depthLimit {
      switch node {
      case .leaf(let transactions): return transactions.first { $0.id == id }
      case .branch(let children): node = children[id.nibble(at: depth)]
      }
    }
    return nil
  }

  /// Notes a transaction, in the place of what was known of it. O(log *n*).
  mutating func put(_ transaction: Transaction) {
    if let old = self[transaction.id] {
      digest -= old.recordDigest
    } else {
      count += 1
    }
    digest += transaction.recordDigest
    if case .committed(let time) = transaction.outcome { latestCommit = max(latestCommit, time) }
    pending[transaction.id] = transaction.outcome == nil ? transaction.expiry : nil
    root = Self.put(transaction, in: root, depth: 0)
  }

  private static func put(_ transaction: Transaction, in node: Node, depth: Int) -> Node {
    switch node {
    case .branch(var children):
      let index = transaction.id.nibble(at: depth)
      children[index] = put(transaction, in: children[index], depth: depth + 1)
      return .branch(children)
    case .leaf(var transactions):
      let index = transactions.firstIndex { $0.id >= transaction.id } ?? transactions.count
      if index < transactions.count, transactions[index].id == transaction.id {
        transactions[index] = transaction
      } else {
        transactions.insert(transaction, at: index)
      }
      guard transactions.count > leafCapacity, depth < depthLimit else {
        return .leaf(transactions)
      }
      var children = [[Transaction]](repeating: [], count: 16)
      for transaction in transactions {
        children[transaction.id.nibble(at: depth)].append(transaction)
      }
      return .branch(children.map { .leaf($0) })
    }
  }

  /// Tells `body` every transaction, by id. O(*n*).
  package func forEach<Failure: Error>(
    _ body: (Transaction) throws(Failure) -> Void
  ) throws(Failure) {
    try Self.forEach(in: root, body)
  }

  private static func forEach<Failure: Error>(
    in node: Node, _ body: (Transaction) throws(Failure) -> Void
  ) throws(Failure) {
    switch node {
    case .leaf(let transactions):
      for transaction in transactions { try body(transaction) }
    case .branch(let children):
      for child in children { try forEach(in: child, body) }
    }
  }
}
