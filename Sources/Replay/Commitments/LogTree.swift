import Catalog

/// The log's tree up to a position, for the paths of its entries. The hashes of the entries that the
/// log has lost are not needed: a frontier stands for them.
struct LogTree {
  let count: UInt64
  private let base: LogFrontier
  /// The hashes of the entries after the base.
  private var hashes: [EntryHash] = []

  /// The tree over the entries up to `end`, with a frontier for those up to some position that the
  /// log has still, or the empty one. 32 bytes an entry; O(*n*).
  init(
    _ log: EventLog, after base: LogFrontier, through end: LogPosition
  ) throws(StoreError) {
    count = end.rawValue
    self.base = base
    hashes.reserveCapacity(Int(clamping: end.rawValue - base.count))
    try log.hashes(after: base.position, through: end) { _, hash in hashes.append(hash) }
  }

  /// The nodes beside the way of the entry at `position`; nil when they cannot be told any more.
  func path(of position: LogPosition) -> [MerkleHash]? {
    struct Unknown: Error {}
    return try? LogInclusion.path(of: position, count: count) { range throws(Unknown) in
      guard let root = root(of: range) else { throw Unknown() }
      return root
    }
  }

  var root: MerkleHash? { root(of: 0..<count) }

  /// The root over some entries, counted from 0.
  private func root(of range: Range<UInt64>) -> MerkleHash? {
    var frontier = LogFrontier()
    if range.lowerBound < base.count {
      let subtrees = base.subtrees.filter {
        $0.entries.lowerBound >= range.lowerBound && $0.entries.upperBound <= range.upperBound
      }
      let end = min(base.count, range.upperBound)
      guard subtrees.first?.entries.lowerBound == range.lowerBound,
        subtrees.last?.entries.upperBound == end,
        let known = LogFrontier(count: end - range.lowerBound, nodes: subtrees.map(\.node))
      else { return nil }
      frontier = known
    }
    let start = max(range.lowerBound, base.count)
    if start < range.upperBound {
      for hash in hashes[Int(start - base.count)..<Int(range.upperBound - base.count)] {
        frontier.append(hash)
      }
    }
    return frontier.root
  }
}
