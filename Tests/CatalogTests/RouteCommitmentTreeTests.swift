import Catalog
import TestSupport
import Testing

/// The routes' tree against a recursion over all places.
@Suite struct RouteCommitmentTreeTests {
  private static func reference(_ leaves: [UInt64: MerkleHash], _ first: UInt64, _ height: Int)
    -> MerkleHash
  {
    guard !leaves.isEmpty else { return .empty }
    guard height > 0 else { return leaves[first] ?? .empty }
    let middle = first + 1 << (height - 1)
    return MerkleHash(
      reference(leaves.filter { $0.key < middle }, first, height - 1),
      reference(leaves.filter { $0.key >= middle }, middle, height - 1))
  }

  private static func reference(_ table: RouteTable) -> MerkleHash {
    var height = 0
    while height < 64, (table.nextRouteID.rawValue - 1) >> height > 0 { height += 1 }
    let leaves = table.routes(overlapping: .all).map {
      ($0.id.rawValue, MerkleHash(leaf: ReferenceDigest.record(of: $0)))
    }
    return reference(Dictionary(uniqueKeysWithValues: leaves), 0, height)
  }

  private func check(_ tree: RouteCommitmentTree, of table: RouteTable, _ place: Comment) {
    let root = Self.reference(table)
    #expect(tree.root == root, place)
    #expect(RouteCommitmentTree(of: table).root == root, place)
    for route in table.routes(overlapping: .all) {
      let path = tree.path(of: route.id, in: table)
      #expect(path.count == tree.height, place)
      let leaf = RouteCommitmentTree.leaf(route)
      #expect(RouteCommitmentTree.root(of: leaf, at: route.id, path: path) == root, place)
      var other = route
      other.group = GroupID(route.group.rawValue + 1)
      let forged = RouteCommitmentTree.leaf(other)
      #expect(RouteCommitmentTree.root(of: forged, at: route.id, path: path) != root, place)
      let elsewhere = RouteID(route.id.rawValue ^ 1)
      #expect(RouteCommitmentTree.root(of: leaf, at: elsewhere, path: path) != root || path.isEmpty)
      if !path.isEmpty {
        let short = Array(path.dropLast())
        #expect(RouteCommitmentTree.root(of: leaf, at: route.id, path: short) != root, place)
      }
    }
  }

  @Test func noRoutes() {
    let tree = RouteCommitmentTree(of: RouteTable())
    #expect(tree.root == .empty)
    #expect(tree.height == 0)
  }

  @Test func heightsFollowTheNextID() {
    for (next, height) in [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (9, 4), (17, 5), (18, 5)] {
      #expect(RouteCommitmentTree.height(nextRouteID: RouteID(UInt64(next))) == height, "\(next)")
    }
    #expect(RouteCommitmentTree.height(nextRouteID: RouteID(.max)) == 64)
  }

  @Test(arguments: testSeeds(count: 6))
  func editsLeadToTheRootsOfTheDefinition(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var table = RouteTable()
    var tree = RouteCommitmentTree(of: table)
    for number in 1...60 {
      let place: Comment = "seed \(seed), version \(number)"
      let before = table
      try table.edit(
        version: CatalogVersion(UInt64(number)), time: HybridTimestamp(milliseconds: UInt64(number))
      ) { editor throws(RouteTableError) in
        if number == 1 {
          // Some ids far off, as a catalog has whose routes come and go.
          try editor.bootstrap(
            [
              RouteSeed(id: RouteID(1), start: .least, group: GroupID(1)),
              RouteSeed(
                id: RouteID(UInt64.random(in: 2...40, using: &generator)), start: Key("m"),
                group: GroupID(1)),
            ])
          return
        }
        for _ in 0..<Int.random(in: 1...6, using: &generator) {
          let routes = before.routes(overlapping: .all)
          let index = Int.random(in: 0..<routes.count, using: &generator)
          let route = routes[index]
          switch Int.random(in: 0..<4, using: &generator) {
          case 0, 1:
            let boundary = Key.random(length: 1...6, using: &generator)
            guard boundary > route.span.lower, route.span.upper.map({ boundary < $0 }) ?? true
            else { continue }
            let skipped = generator.oneIn(20) ? UInt64.random(in: 1...300, using: &generator) : 0
            let id = RouteID(editor.nextRouteID.rawValue + skipped)
            try? editor.split(
              route: route.id, start: route.span.lower, boundary: boundary, newRoute: id)
          case 2:
            guard index + 1 < routes.count else { continue }
            let next = routes[index + 1]
            try? editor.merge(
              route: route.id, start: route.span.lower, boundary: next.span.lower,
              absorbed: next.id)
          default:
            try? editor.move(
              route: route.id, start: route.span.lower, from: route.group,
              to: GroupID(route.group.rawValue + 1))
          }
        }
      }
      tree.update(from: before, to: table)
      check(tree, of: table, place)
    }
    // From anywhere to anywhere.
    tree.update(from: table, to: RouteTable())
    #expect(tree.root == .empty)
  }
}
