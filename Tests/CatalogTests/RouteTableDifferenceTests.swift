import TestSupport
import Testing

@testable import Catalog

@Suite struct RouteTableDifferenceTests {
  /// Any two versions of a line, forwards and backwards, against a comparison of all routes.
  @Test(arguments: [4, 5, 32], testSeeds(count: 3))
  func findsWhatDiffers(fanOut: Int, seed: UInt64) throws {
    var changes = try RouteTableChanges(seed: seed, fanOut: fanOut, count: 60)
    var versions = [RouteTable(), changes.table]
    for step in 0..<60 {
      try changes.change(1 + step % 5, isGrowing: (step / 20) % 2 == 0)
      versions.append(changes.table)
      let new = changes.table
      for old in [versions[versions.count - 2], versions[changes.random.below(versions.count)]] {
        let expected = new.comparedRoutes(with: old)
        #expect(new.changedRoutes(since: old) == expected, "seed \(seed) step \(step)")
        #expect(old.changedRoutes(since: new) == expected, "seed \(seed) step \(step)")
      }
    }
  }

  /// Nothing is shared, and rows that are equal may still be of routes that end elsewhere.
  @Test(arguments: testSeeds(count: 6))
  func comparesTablesOfDifferentStores(seed: UInt64) throws {
    var left = try RouteTableChanges(seed: seed, count: 40)
    var right = try RouteTableChanges(seed: seed, fanOut: 7, count: 40)
    #expect(left.table.changedRoutes(since: right.table).isEmpty, "seed \(seed)")
    right.random = SeededGenerator(seed: seed + 1_000)
    for step in 0..<60 {
      try left.change(2)
      try right.change(2)
      let expected = left.table.comparedRoutes(with: right.table)
      #expect(left.table.changedRoutes(since: right.table) == expected, "seed \(seed) \(step)")
      #expect(right.table.changedRoutes(since: left.table) == expected, "seed \(seed) \(step)")
    }
  }

  /// A cut at another key at the same time: the row of what was cut is the same in both tables.
  @Test func seesAnEndThatItsRowDoesNotTell() throws {
    var left = try RouteTableChanges(seed: 1).table
    var right = left
    for (table, boundary) in [(\Pair.left, "m"), (\Pair.right, "n")] {
      var pair = Pair(left: left, right: right)
      try pair[keyPath: table].edit(version: CatalogVersion(2), time: HybridTimestamp(2)) {
        editor throws(RouteTableError) in
        try editor.split(
          route: RouteID(1), start: .least, boundary: Key(boundary), newRoute: RouteID(2))
      }
      (left, right) = (pair.left, pair.right)
    }
    #expect(left.changedRoutes(since: right) == [RouteID(1), RouteID(2)])
  }

  private struct Pair {
    var left: RouteTable
    var right: RouteTable
  }

  @Test func nothingDiffersFromItself() throws {
    let table = try RouteTableChanges(seed: 1, count: 300).table
    let (changed, openedCount) = table.difference(from: table)
    #expect(changed.isEmpty && openedCount == 0)
    #expect(RouteTable().changedRoutes(since: RouteTable()).isEmpty)
    #expect(table.changedRoutes(since: RouteTable()).count == table.count)
  }

  /// The nodes that are looked at are as many as differ, not as many as there are.
  @Test(arguments: [1_000, 20_000])
  func costFollowsTheDifference(count: Int) throws {
    var changes = try RouteTableChanges(seed: 3, fanOut: 32, count: count)
    for changed in [1, 10, 50] {
      let old = changes.table
      for _ in 0..<changed { try changes.change() }
      let new = changes.table
      let (oldNodes, newNodes) = (old.byStart.reachableNodes(), new.byStart.reachableNodes())
      let differing = oldNodes.symmetricDifference(newNodes).count
      let (found, openedCount) = new.difference(from: old)
      #expect(found.sorted() == new.comparedRoutes(with: old))
      #expect(openedCount <= 2 * differing, "\(openedCount) opened, \(differing) differ")
      #expect(openedCount <= changed * 2 * 10)
    }
  }
}
