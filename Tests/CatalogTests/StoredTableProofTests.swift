import TestSupport
import Testing

@testable import Catalog

@Suite struct StoredTableProofTests {
  private typealias Stored = StoredTable<StoredNodeError>

  private static func stored(_ root: NodeShelf.Root, on shelf: NodeShelf) -> Stored {
    Stored(root.trees) { id throws(StoredNodeError) in try shelf.read(id) }
  }

  /// What is sound is proven, from the start and from any table before, with the digest that it has.
  @Test(arguments: [4, 32], testSeeds(count: 3))
  func provesWhatWasStored(fanOut: Int, seed: UInt64) throws {
    var changes = try RouteTableChanges(seed: seed, fanOut: fanOut, count: 40)
    let shelf = NodeShelf()
    shelf.store(RouteTable())
    for step in 0..<30 {
      let root = shelf.store(changes.table)
      let next = root.table.nextRouteID
      let stored = Self.stored(root, on: shelf)
      #expect(try stored.proveAll(nextRouteID: next) == root.table.digest, "seed \(seed) \(step)")
      for old in shelf.roots.suffix(2) + [shelf.roots[changes.random.below(shelf.roots.count)]] {
        let digest = try stored.prove(
          since: Self.stored(old, on: shelf), digest: old.table.digest, nextRouteID: next)
        #expect(digest == root.table.digest, "seed \(seed) step \(step)")
      }
      try changes.change(1 + changes.random.below(8), isGrowing: step < 15)
    }
  }

  /// Nodes that the older table has are not read.
  @Test func costFollowsTheDifference() throws {
    var changes = try RouteTableChanges(seed: 1, fanOut: 32, count: 10_000)
    let shelf = NodeShelf()
    shelf.store(changes.table)
    for count in [1, 10] {
      let old = try #require(shelf.roots.last)
      for _ in 0..<count { try changes.change() }
      let new = shelf.store(changes.table)
      shelf.forgetReads()
      _ = try Self.stored(new, on: shelf).prove(
        since: Self.stored(old, on: shelf), digest: old.table.digest,
        nextRouteID: new.table.nextRouteID)
      #expect(shelf.readIDs.count <= 2 * (new.written.count + new.dead.count) + 3 * count)
      shelf.forgetReads()
      _ = try Self.stored(new, on: shelf).proveAll(nextRouteID: new.table.nextRouteID)
      #expect(shelf.readCount == shelf.map.count)
    }
  }

  /// Nodes that somebody made, with hashes that fit: both ways of proving agree on whether the table
  /// is whole, and on its digest when it is.
  @Test(arguments: testSeeds(count: 6))
  func bothWaysFindTheSame(seed: UInt64) throws {
    var changes = try RouteTableChanges(seed: seed, count: 60)
    let shelf = NodeShelf()
    let old = shelf.store(changes.table)
    try changes.change(6)
    let new = shelf.store(changes.table)
    let next = changes.table.nextRouteID
    var (whole, broken, disagreeing) = (0, 0, 0)
    for round in 0..<60 {
      let kept = shelf.nodes.mapValues { Array($0) }
      let id = new.written.randomElement(using: &changes.random) ?? 1
      var bytes = kept[id] ?? []
      bytes[changes.random.below(bytes.count)] ^= 1 << UInt8(changes.random.below(8))
      let stored = Stored(shelf.forge(id, bytes, in: new.trees)) { id throws(StoredNodeError) in
        try shelf.read(id)
      }
      let all = Self.outcome { () throws(StoredNodeError) in
        try stored.proveAll(nextRouteID: next)
      }
      let since = Self.outcome { () throws(StoredNodeError) in
        try stored.prove(
          since: Self.stored(old, on: shelf), digest: old.table.digest, nextRouteID: next)
      }
      switch (all, since) {
      case (.success(let left), .success(let right)):
        #expect(left == right, "seed \(seed) round \(round)")
        whole += 1
      case (.failure(let left), .failure):
        if case .treesDisagree = left.problem { disagreeing += 1 }
        broken += 1
      default:
        Issue.record("seed \(seed) round \(round): \(all) but \(since)")
      }
      for (id, bytes) in kept { shelf.put(bytes, for: id) }
    }
    // How many of each follows from the seed.
    #expect(whole + broken == 60, "seed \(seed): \(disagreeing) of \(broken) disagree")
  }

  private static func outcome(
    _ body: () throws(StoredNodeError) -> StateDigest
  ) -> Result<StateDigest, StoredNodeError> {
    Result(catching: body)
  }

  /// Trees that are each well formed and do not say the same.
  @Test func treesThatDisagreeAreFound() throws {
    let shelf = NodeShelf()
    var changes = try RouteTableChanges(seed: 1, count: 30)
    let old = shelf.store(changes.table)
    try changes.change(5)
    let new = shelf.store(changes.table)
    for index in 0..<3 where old.trees[index] != new.trees[index] {
      var trees = new.trees
      trees[index] = old.trees[index]
      let mixed = Stored(trees) { id throws(StoredNodeError) in try shelf.read(id) }
      #expect(throws: StoredNodeError.self) {
        try mixed.proveAll(nextRouteID: changes.table.nextRouteID)
      }
      #expect(throws: StoredNodeError.self) {
        try mixed.prove(
          since: Self.stored(old, on: shelf), digest: old.table.digest,
          nextRouteID: changes.table.nextRouteID)
      }
    }
  }
}
