/// The Merkle tree over the routes of one version, by id: what a commitment says of them.
///
/// It does not depend on the shape of any index; `FORMAT.md` describes it. Kept are the nodes above
/// buckets of 16 ids that have routes; what is below is hashed again when it is asked for. Ids are
/// given for ever and most of those of a busy catalog are gone, so the nodes lie in dictionaries.
package struct RouteCommitmentTree: Sendable {
  /// The levels below the kept ones.
  static let bucketHeight = 4

  /// The id that the next route gets, which the height follows from.
  package private(set) var nextRouteID: RouteID
  /// The root of all.
  package private(set) var root: MerkleHash
  /// The nodes by index, from those above buckets up to the root. Absent where there are no routes.
  private var levels: [[UInt64: MerkleHash]]

  /// How many levels there are above the leaves, where the next route gets this id.
  package static func height(nextRouteID: RouteID) -> Int {
    nextRouteID.rawValue < 2 ? 0 : 64 - (nextRouteID.rawValue - 1).leadingZeroBitCount
  }

  package var height: Int { Self.height(nextRouteID: nextRouteID) }

  /// The leaf of a route.
  package static func leaf(_ route: Route) -> MerkleHash { MerkleHash(leaf: route.record) }

  /// The tree of all routes of `table`. O(*n* log *n*).
  package init(of table: RouteTable) {
    nextRouteID = table.nextRouteID
    levels = [[:]]
    root = .empty
    var leaves: [(id: UInt64, leaf: MerkleHash)] = []
    leaves.reserveCapacity(table.count)
    var lower = Key.least
    while true {
      let routes = table.routes(overlapping: KeySpan(unchecked: lower, nil), limit: 4096)
      for route in routes { leaves.append((route.id.rawValue, Self.leaf(route))) }
      guard let next = routes.last?.span.upper else { break }
      lower = next
    }
    leaves.sort { $0.id < $1.id }
    var start = 0
    while start < leaves.count {
      let bucket = leaves[start].id >> Self.bucketHeight
      let end = leaves[start...].firstIndex { $0.id >> Self.bucketHeight != bucket }
      let members = leaves[start..<(end ?? leaves.count)]
      levels[0][bucket] = Self.bucketRoot(members)
      start = members.endIndex
    }
    rehash(above: Set(levels[0].keys), in: table)
  }

  /// Follows from the table that the tree is of to another one. O(*d* log *n*) for *d* routes that
  /// differ, or what comparing takes.
  package mutating func update(from old: RouteTable, to table: RouteTable) {
    var buckets = Set(table.changedRoutes(since: old).map { $0.rawValue >> Self.bucketHeight })
    // A tree that grew has a new root, though the routes may be gone that it grew for.
    if height != Self.height(nextRouteID: table.nextRouteID) { buckets.insert(0) }
    nextRouteID = table.nextRouteID
    for bucket in buckets {
      levels[0][bucket] = Self.bucketRoot(Self.leaves(of: bucket, in: table)[...])
    }
    rehash(above: buckets, in: table)
  }

  /// Hashes the nodes above these buckets anew.
  private mutating func rehash(above buckets: Set<UInt64>, in table: RouteTable) {
    var dirty = buckets
    let top = max(0, height - Self.bucketHeight)
    while levels.count <= top { levels.append([:]) }
    levels.removeLast(levels.count - top - 1)
    for level in 0..<top {
      dirty = Set(dirty.map { $0 >> 1 })
      for index in dirty {
        let left = levels[level][index << 1]
        let right = levels[level][index << 1 | 1]
        levels[level + 1][index] = Self.node(left, right)
      }
    }
    guard height < Self.bucketHeight else {
      root = levels[top][0] ?? .empty
      return
    }
    root = Self.root(of: Self.leaves(of: 0, in: table)[...], first: 0, height: height) ?? .empty
  }

  /// The nodes beside the way from the route with this id to the root, the lowest first.
  /// O(log *n*).
  ///
  /// - Precondition: `table` is the one that the tree is of, and the id below its next one.
  package func path(of id: RouteID, in table: RouteTable) -> [MerkleHash] {
    precondition(id < nextRouteID, "an id that was given")
    let leaves = Self.leaves(of: id.rawValue >> Self.bucketHeight, in: table)
    return (0..<height).map { level in
      let beside = id.rawValue >> level ^ 1
      guard level < Self.bucketHeight else {
        return levels[level - Self.bucketHeight][beside] ?? .empty
      }
      let first = beside << level
      let members = leaves.filter { $0.id >> level == beside }
      return Self.root(of: members[...], first: first, height: level) ?? .empty
    }
  }

  /// The root of the tree that has this leaf at the place of the route with this id, given the nodes
  /// beside its way; nil when a tree of that height has no such place. O(log *n*).
  package static func root(
    of leaf: MerkleHash, at id: RouteID, path: [MerkleHash]
  ) -> MerkleHash? {
    guard path.count <= 64, path.count == 64 || id.rawValue >> path.count == 0 else { return nil }
    var root = leaf
    for (level, node) in path.enumerated() {
      root = id.rawValue >> level & 1 == 0 ? MerkleHash(root, node) : MerkleHash(node, root)
    }
    return root
  }
}

extension RouteCommitmentTree {
  private typealias Leaf = (id: UInt64, leaf: MerkleHash)

  /// The leaves of the routes whose ids are in the bucket, by id.
  private static func leaves(of bucket: UInt64, in table: RouteTable) -> [Leaf] {
    let first = bucket << bucketHeight
    let routes = table.routes(
      after: first == 0 ? nil : RouteID(first - 1), limit: 1 << bucketHeight)
    return routes.prefix { $0.id.rawValue >> bucketHeight == bucket }
      .map { ($0.id.rawValue, leaf($0)) }
  }

  private static func bucketRoot(_ leaves: ArraySlice<Leaf>) -> MerkleHash? {
    guard let first = leaves.first else { return nil }
    return root(
      of: leaves, first: (first.id >> bucketHeight) << bucketHeight, height: bucketHeight)
  }

  /// The root over 2^height ids from `first` on; nil when there is no leaf among them.
  private static func root(
    of leaves: ArraySlice<Leaf>, first: UInt64, height: Int
  ) -> MerkleHash? {
    guard let only = leaves.first else { return nil }
    guard height > 0 else { return only.leaf }
    let middle = first + 1 << (height - 1)
    let split = leaves.firstIndex { $0.id >= middle } ?? leaves.endIndex
    return node(
      root(of: leaves[..<split], first: first, height: height - 1),
      root(of: leaves[split...], first: middle, height: height - 1))
  }

  private static func node(_ left: MerkleHash?, _ right: MerkleHash?) -> MerkleHash? {
    guard left != nil || right != nil else { return nil }
    return MerkleHash(left ?? .empty, right ?? .empty)
  }
}
