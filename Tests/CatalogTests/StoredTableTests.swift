import TestSupport
import Testing

@testable import Catalog

@Suite struct StoredTableTests {
  private typealias Stored = StoredTable<StoredNodeError>

  /// What is read from stored nodes is what the table in memory says, at every table of a chain.
  @Test(arguments: [4, 5, 32], testSeeds(count: 3))
  func agreesWithTheTableInMemory(fanOut: Int, seed: UInt64) throws {
    var changes = try RouteTableChanges(seed: seed, fanOut: fanOut, count: 40)
    let shelf = NodeShelf()
    shelf.store(RouteTable())
    for step in 0..<40 {
      shelf.store(changes.table)
      try changes.change(1 + changes.random.below(8), isGrowing: step < 20)
    }
    for (step, root) in shelf.roots.enumerated() {
      let stored = Stored(root.trees, read: shelf.read)
      #expect(stored.count == root.table.count)
      for _ in 0..<10 {
        try compare(stored, root.table, &changes.random, "seed \(seed) step \(step)")
      }
      #expect(try stored.routes(overlapping: .all) == root.table.routes(overlapping: .all))

      let other = shelf.roots[changes.random.below(shelf.roots.count)]
      let expected = root.table.comparedRoutes(with: other.table)
      let otherStored = Stored(other.trees, read: shelf.read)
      #expect(try stored.changedRoutes(since: otherStored) == expected, "seed \(seed) \(step)")
      #expect(try otherStored.changedRoutes(since: stored) == expected, "seed \(seed) \(step)")
    }
  }

  private func compare(
    _ stored: Stored, _ table: RouteTable, _ random: inout SeededGenerator, _ context: Comment
  ) throws {
    let key = Key(unchecked: KeyShape.drawAny(&random))
    #expect(try stored.route(containing: key) == table.route(containing: key), context)
    let some = table.routes(overlapping: .all).randomElement(using: &random)
    if let start = some?.span.lower {
      #expect(try stored.route(containing: start) == some, context)
    }
    let id = RouteID(UInt64(random.below(Int(table.nextRouteID.rawValue) + 2)))
    #expect(try stored.route(id: id) == table.route(id: id), context)
    let rarity = 1 + random.below(5)
    let ids = (0..<table.nextRouteID.rawValue + 2).filter { _ in random.oneIn(rarity) }
      .map { RouteID($0) }
    let found = ids.compactMap { table.route(id: $0) }.sorted { $0.span.lower < $1.span.lower }
    #expect(try stored.routes(withIDs: ids) == found, context)
    let limit = random.below(6)
    let after = random.oneIn(3) ? nil : RouteID(UInt64(random.below(60)))
    for group in [GroupID(UInt64(random.below(7))), GroupID(.max)] {
      #expect(
        try stored.routeIDs(of: group, after: after, limit: limit)
          == table.routes(of: group, after: after, limit: limit).map(\.id), context)
      #expect(try stored.routeIDs(of: group) == table.routes(of: group).map(\.id), context)
    }
    #expect(try stored.routeIDs(of: GroupID(1), after: RouteID(.max)).isEmpty)
    let upper = Key(unchecked: KeyShape.drawAny(&random))
    guard key < upper else { return }
    let span = KeySpan(unchecked: key, random.oneIn(4) ? nil : upper)
    #expect(
      try stored.routes(overlapping: span, limit: limit)
        == table.routes(overlapping: span, limit: limit), context)
  }

  /// A lookup reads the nodes on its way, and a walk of two tables those that differ.
  @Test func readsFewNodes() throws {
    var changes = try RouteTableChanges(seed: 1, fanOut: 32, count: 20_000)
    let shelf = NodeShelf()
    let old = shelf.store(changes.table)
    let stored = Stored(old.trees, read: shelf.read)
    for number in 0..<100 {
      shelf.forgetReads()
      _ = try stored.route(containing: Key(unchecked: KeyShape.drawAny(&changes.random)))
      #expect(shelf.readCount <= 6)
      shelf.forgetReads()
      _ = try stored.route(id: RouteID(UInt64(number)))
      #expect(shelf.readCount <= 10)
    }
    for count in [1, 10] {
      let before = try #require(shelf.roots.last)
      for _ in 0..<count { try changes.change() }
      let after = shelf.store(changes.table)
      shelf.forgetReads()
      let changed = try Stored(after.trees, read: shelf.read)
        .changedRoutes(since: Stored(before.trees, read: shelf.read))
      #expect(changed == after.table.comparedRoutes(with: before.table))
      #expect(shelf.readCount <= 2 * (after.written.count + after.dead.count))
    }
  }

  /// Each answer proves its own way: a damaged node is named by whoever comes across it, and by
  /// nobody else.
  @Test(arguments: testSeeds(count: 4))
  func damageIsNamedWhereItIsMet(seed: UInt64) throws {
    var changes = try RouteTableChanges(seed: seed, count: 80)
    let shelf = NodeShelf()
    let root = shelf.store(changes.table)
    let stored = Stored(root.trees, read: shelf.read)
    var (met, missed) = (0, 0)
    for id in try shelf.reachable(from: root).sorted() {
      guard let bytes = shelf.nodes[id] else { continue }
      let good = Array(bytes)
      var bad = good
      bad[changes.random.below(bad.count)] ^= 1 << UInt8(changes.random.below(8))
      shelf.put(bad, for: id)
      for _ in 0..<4 {
        let key = Key(unchecked: KeyShape.drawAny(&changes.random))
        let number = RouteID(UInt64(changes.random.below(90)))
        shelf.forgetReads()
        do {
          #expect(try stored.route(containing: key) == root.table.route(containing: key))
          #expect(try stored.route(id: number) == root.table.route(id: number))
          #expect(
            try stored.routeIDs(of: GroupID(2)) == root.table.routes(of: GroupID(2)).map(\.id))
          #expect(!shelf.readIDs.contains(id), "seed \(seed)")
          missed += 1
        } catch {
          #expect(error.node == id && shelf.readIDs.contains(id), "seed \(seed)")
          met += 1
        }
      }
      shelf.put(good, for: id)
    }
    #expect(met > 10 && missed > 10, "seed \(seed)")
  }

  @Test func whatIsNotThereIsNotFound() throws {
    let empty = Stored(
      [StoredTree](repeating: StoredTree(root: nil, height: 0, count: 0), count: 3)
    ) { _ throws(StoredNodeError) in nil }
    #expect(try empty.route(containing: .least) == nil)
    #expect(try empty.route(id: RouteID(1)) == nil)
    #expect(try empty.routes(withIDs: [RouteID(1)]).isEmpty)
    #expect(try empty.routeIDs(of: GroupID(1)).isEmpty)
    #expect(try empty.routes(overlapping: .all).isEmpty)
    #expect(try empty.changedRoutes(since: empty).isEmpty)
  }
}
