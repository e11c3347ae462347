import TestSupport
import Testing

@testable import Catalog

@Suite struct GroupChangesTests {
  /// What is to be done comes in the order of the keys, each once, and the last word counts.
  @Test(arguments: testSeeds(count: 4)) func theLastChangeOfAKeyCounts(seed: UInt64) {
    struct Place: Hashable { var group, route: UInt64 }
    var random = SeededGenerator(seed: seed)
    var changes = GroupChanges()
    for count in [0, 1, 2, 300] {
      var last: [Place: Bool] = [:]
      for _ in 0..<count {
        let place = Place(group: UInt64(random.below(5)), route: UInt64(random.below(20)))
        last[place] = random.oneIn(2)
        changes.add(GroupID(place.group), RouteID(place.route), last[place] == true)
      }
      let taken = changes.takeAll()
      #expect(taken.count == last.count, "seed \(seed)")
      for change in taken {
        let place = Place(group: change.group.rawValue, route: change.route.rawValue)
        #expect(last[place] == change.isThere, "seed \(seed)")
      }
      let keys = taken.map { [$0.group.rawValue, $0.route.rawValue] }
      #expect(keys == keys.sorted { $0.lexicographicallyPrecedes($1) }, "seed \(seed)")
    }
  }

  /// More changes in one edit than are gathered at a time.
  @Test func manyChangesAreMadeInSeveralGoes() throws {
    var table = RouteTable()
    try table.edit(version: CatalogVersion(1), time: HybridTimestamp(1)) {
      editor throws(RouteTableError) in
      try editor.bootstrap([RouteSeed(id: RouteID(1), start: .least, group: GroupID(0))])
    }
    let moves = GroupChanges.capacity
    try table.edit(version: CatalogVersion(2), time: HybridTimestamp(2)) {
      editor throws(RouteTableError) in
      editor.gatherGroupChanges()
      // Two changes each: the last ones are made at the end.
      for move in 0..<UInt64(moves) {
        try editor.move(
          route: RouteID(1), start: .least, from: GroupID(move % 7), to: GroupID((move + 1) % 7))
      }
    }
    table.checkInvariants()
    let last = GroupID(UInt64(moves) % 7)
    #expect(table.routes(of: last).map(\.id) == [RouteID(1)])
    for group in 0..<UInt64(7) where GroupID(group) != last {
      #expect(table.routes(of: GroupID(group)).isEmpty)
    }
  }
}
