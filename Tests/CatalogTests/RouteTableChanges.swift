import TestSupport

@testable import Catalog

/// Makes random versions of a table that always fit: what differences and stored trees are tested
/// on.
struct RouteTableChanges {
  var table: RouteTable
  var random: SeededGenerator

  /// A table of `count` routes in `groups` groups, in a store of its own.
  init(seed: UInt64, fanOut: Int = 4, count: Int = 1, groups: Int = 5) throws {
    random = SeededGenerator(seed: seed)
    table = RouteTable(in: IndexStore(fanOut: fanOut))
    let keys = Key.randomSet(count: max(1, count), including: [.least], using: &random)
    let seeds = keys.enumerated().map { index, key in
      RouteSeed(
        id: RouteID(UInt64(index) + 1), start: key,
        group: GroupID(UInt64(index % groups) + 1))
    }
    try table.edit(version: CatalogVersion(1), time: HybridTimestamp(milliseconds: 1, counter: 0)) {
      editor throws(RouteTableError) in
      try editor.bootstrap(seeds)
    }
  }

  /// Makes the next version: a few changes, mostly splits while `isGrowing`, else mostly merges.
  mutating func change(_ changes: Int = 1, isGrowing: Bool = true) throws {
    let version = table.version.next
    let time = HybridTimestamp(
      milliseconds: 1_000 * version.rawValue, counter: UInt16(version.rawValue % 3))
    var random = random
    var next = table
    for _ in 0..<changes {
      let route = next.route(containing: Key(unchecked: KeyShape.drawAny(&random)))
      guard let route else { continue }
      let before = next
      try next.edit(version: version, time: time) { editor throws(RouteTableError) in
        try Self.change(route, of: before, in: &editor, isGrowing, &random)
      }
    }
    self.random = random
    table = next
  }

  private static func change(
    _ route: Route, of table: RouteTable, in editor: inout RouteTable.Editor, _ isGrowing: Bool,
    _ random: inout SeededGenerator
  ) throws(RouteTableError) {
    let start = route.span.lower
    switch random.below(10) {
    case 0..<7:
      let merges = random.below(10) < (isGrowing ? 2 : 8)
      if merges, let upper = route.span.upper, let right = table.route(containing: upper) {
        return try editor.merge(route: route.id, start: start, boundary: upper, absorbed: right.id)
      }
      let boundary = Key(unchecked: KeyShape.drawAny(&random))
      guard !merges, let holder = table.route(containing: boundary),
        holder.span.lower < boundary
      else { return }
      try editor.split(
        route: holder.id, start: holder.span.lower, boundary: boundary,
        newRoute: RouteID(editor.nextRouteID.rawValue + UInt64(random.below(3))))
    case 7:
      let group = GroupID(random.oneIn(20) ? .max : UInt64(random.below(6)))
      guard group != route.group else { return }
      try editor.move(route: route.id, start: start, from: route.group, to: group)
    case 8:
      let state = RouteState.allCases[random.below(5)]
      try editor.setState(route: route.id, start: start, from: route.state, to: state)
    default:
      let count = random.oneIn(10) ? 100 : random.below(4)
      let regions = (0..<count).map {
        Region(unchecked: "r\(100 + $0)-\(String(repeating: "x", count: $0 % 50))")
      }
      try editor.setAllowedRegions(route: route.id, start: start, to: regions)
    }
  }
}

extension RouteTable {
  /// The slow truth that ``changedRoutes(since:)`` is compared to.
  func comparedRoutes(with other: RouteTable) -> [RouteID] {
    let byID = { (table: RouteTable) in
      Dictionary(uniqueKeysWithValues: table.routes(overlapping: .all).map { ($0.id, $0) })
    }
    let (mine, others) = (byID(self), byID(other))
    return Set(mine.keys).union(others.keys).filter { mine[$0] != others[$0] }.sorted()
  }
}
