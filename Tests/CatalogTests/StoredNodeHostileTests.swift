import TestSupport
import Testing

@testable import Catalog

/// Stored bytes that may hold anything: never a trap, and no second form of a node.
@Suite struct StoredNodeHostileTests {
  /// Nodes of all trees and levels, of several fan-outs.
  private static func corpus() throws -> [[UInt8]] {
    try [4, 32].flatMap { fanOut in
      var changes = try RouteTableChanges(seed: UInt64(fanOut), fanOut: fanOut, count: 100)
      for _ in 0..<30 { try changes.change() }
      let shelf = NodeShelf()
      shelf.store(changes.table)
      return shelf.nodes.sorted { $0.key < $1.key }.map { Array($0.value) }
    }
  }

  @Test(arguments: testSeeds(count: 6))
  func mutatedNodesAreRefusedOrCanonical(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let corpus = try Self.corpus()
    let store = IndexStore(leafLimit: 255, innerLimit: 255)
    var encoder = StoredNodeEncoder()
    let child = try Self.leaf(in: store)
    defer { store.deallocate(child) }
    var accepted = 0
    for round in 0..<1_000 {
      var bytes = corpus[random.below(corpus.count)]
      repeat { Self.mutate(&bytes, corpus, &random) } while random.oneIn(4)
      let found: [UInt8]? = bytes.withUnsafeBytes { bytes in
        guard let stored = try? StoredNode(bytes) else { return nil }
        for kind in StoredTreeKind.allCases where stored.level == 0 {
          _ = try? stored.checkEntries(of: kind, below: RouteID(.max))
        }
        let children = [RouteIndex.Node](repeating: child, count: stored.childCount)
        guard let node = try? stored.makeNode(in: store, children: children[...], birth: 1)
        else { return nil }
        defer { store.deallocate(node) }
        let references = (0..<stored.childCount).map { stored.child(at: $0) }
        return encoder.withBytes(of: node, children: references[...]) { Array($0) }
      }
      guard let found else { continue }
      accepted += 1
      #expect(found == bytes, "seed \(seed), round \(round)")
    }
    // Flipped bits of keys and hashes make other nodes: the test reaches all of the form.
    #expect(accepted > 50, "seed \(seed)")
  }

  private static func leaf(in store: IndexStore) throws -> RouteIndex.Node {
    let bytes: [UInt8] = [1, 0, 1, 0, 0, 0]
    return try bytes.withUnsafeBytes {
      try StoredNode($0).makeNode(in: store, children: [], birth: 1)
    }
  }

  private static func mutate(
    _ bytes: inout [UInt8], _ corpus: [[UInt8]], _ random: inout SeededGenerator
  ) {
    guard !bytes.isEmpty else { return bytes = Key.random(length: 0...50, using: &random).bytes }
    let offset = random.below(random.oneIn(3) ? min(12, bytes.count) : bytes.count)
    switch random.below(7) {
    case 0: bytes[offset] ^= 1 << UInt8(random.below(8))
    case 1: bytes[offset] = UInt8(random.below(256))
    case 2: bytes.removeSubrange(offset...)
    case 3: bytes.insert(UInt8(random.below(256)), at: offset)
    case 4: bytes.removeSubrange(offset..<min(bytes.count, offset + 1 + random.below(8)))
    case 5:
      let other = corpus[random.below(corpus.count)]
      bytes = Array(bytes[..<offset]) + other.suffix(from: min(offset, other.count))
    default:
      bytes.replaceSubrange(
        offset...offset,
        with: [[0x80, 0x00], [0x80], [0xFF, 0x7F], [UInt8](repeating: 0xFF, count: 9) + [1]][
          random.below(4)])
    }
  }

  @Test(arguments: testSeeds(count: 4))
  func randomBytesAreRefused(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    for _ in 0..<1_000 {
      var bytes = Key.random(length: 0...300, using: &random).bytes
      if bytes.count > 2 { bytes.replaceSubrange(0..<2, with: [1, UInt8(random.below(2))]) }
      // With lengths that are drawn from all bytes, hardly anything fits together.
      _ = bytes.withUnsafeBytes { try? StoredNode($0) }
    }
  }

  @Test func everyBeginningOfANodeIsRefused() throws {
    for bytes in try Self.corpus() {
      for count in stride(from: 0, to: bytes.count, by: bytes.count > 400 ? 7 : 1) {
        #expect(throws: StoredNodeError.Problem.self) {
          try bytes[..<count].withUnsafeBytes { _ = try StoredNode($0) }
        }
      }
    }
  }

  /// Any other byte in any node is found, and the node is named.
  @Test(arguments: testSeeds(count: 4))
  func damagedNodesAreNamed(seed: UInt64) throws {
    var changes = try RouteTableChanges(seed: seed, count: 80)
    let shelf = NodeShelf()
    let root = shelf.store(changes.table)
    for id in try shelf.reachable(from: root).sorted() {
      guard let bytes = shelf.nodes[id] else { continue }
      let good = Array(bytes)
      var bad = good
      bad[changes.random.below(bad.count)] ^= 1 << UInt8(changes.random.below(8))
      shelf.put(bad, for: id)
      let error = #expect(throws: StoredNodeError.self, "seed \(seed)") {
        try shelf.load(root, in: IndexStore(fanOut: 4))
      }
      #expect(error?.node == id, "seed \(seed)")
      shelf.put(good, for: id)
    }
    let missing = StoredNodeError(.missing, node: root.trees[0].root?.id ?? 0)
    #expect(throws: missing) {
      try RouteTable.loading(
        root.trees, version: .zero, nextRouteID: RouteID(1), digest: .zero, in: IndexStore()
      ) { _ throws(StoredNodeError) in nil }
    }
  }

  /// Somebody who makes hashes that fit gets a table that is well formed, or an error; no trap.
  @Test(arguments: testSeeds(count: 8))
  func forgedTreesAreRefusedOrWellFormed(seed: UInt64) throws {
    var changes = try RouteTableChanges(seed: seed, count: 60)
    let shelf = NodeShelf()
    let root = shelf.store(changes.table)
    let corpus = try Self.corpus()
    let ids = try shelf.reachable(from: root).sorted()
    var (accepted, refused) = (0, 0)
    for _ in 0..<80 {
      let kept = shelf.nodes.mapValues { Array($0) }
      let id = ids[changes.random.below(ids.count)]
      var bytes = kept[id] ?? []
      Self.mutate(&bytes, corpus, &changes.random)
      var forged = root
      forged.trees = shelf.forge(id, bytes, in: root.trees)
      do {
        let (table, _) = try shelf.load(forged, in: IndexStore(fanOut: 4))
        table.byStart.checkInvariants()
        table.byID.checkInvariants()
        table.byGroup.checkInvariants()
        _ = table.computedDigest()
        for id in UInt64(0)..<70 { _ = table.route(id: RouteID(id)) }
        _ = table.routes(of: GroupID(1))
        _ = table.changedRoutes(since: changes.table)
        accepted += 1
      } catch {
        refused += 1
      }
      for (id, bytes) in kept { shelf.put(bytes, for: id) }
    }
    #expect(accepted + refused == 80 && refused > 0, "seed \(seed): \(accepted) \(refused)")
  }

  @Test func impossibleTreesAreRefused() throws {
    let shelf = NodeShelf()
    let root = shelf.store(try RouteTableChanges(seed: 1, count: 30).table)
    func load(_ change: (inout NodeShelf.Root) -> Void) throws -> RouteTable {
      var forged = root
      change(&forged)
      return try shelf.load(forged, in: IndexStore(fanOut: 4)).table
    }
    #expect(try load { _ in }.count == 30)
    let changes: [(inout NodeShelf.Root) -> Void] = [
      { $0.trees[1].count = 29 },
      { for index in 0..<3 { $0.trees[index].count = 29 } },
      { for index in 0..<3 { $0.trees[index].count = 31 } },
      { $0.trees[0].height += 1 },
      { $0.trees[0].height = 100 },
      { $0.trees[2].height -= 1 },
      { $0.trees[2].root = nil },
      { $0.trees.swapAt(0, 1) },
      { $0.trees.swapAt(1, 2) },
      { $0.trees.removeLast() },
      { $0.trees[0].root?.id = 1 },
    ]
    for change in changes {
      #expect(throws: StoredNodeError.self) { try load(change) }
    }
    // A store that has no room for nodes like these.
    let wide = NodeShelf()
    let wideRoot = wide.store(try RouteTableChanges(seed: 1, fanOut: 32, count: 30).table)
    #expect(throws: StoredNodeError.self) { try wide.load(wideRoot, in: IndexStore(fanOut: 4)) }
  }
}
