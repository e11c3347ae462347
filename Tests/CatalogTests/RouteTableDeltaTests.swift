import TestSupport
import Testing

@testable import Catalog

@Suite struct RouteTableDeltaTests {
  /// What differs between two versions, by comparing all routes.
  private func delta(_ old: RouteTable, _ new: RouteTable) -> RouteDelta {
    let changed = new.comparedRoutes(with: old)
    return RouteDelta(
      from: old.version, to: new.version, removed: changed.filter { new.route(id: $0) == nil },
      upserted: changed.compactMap { new.route(id: $0) }
        .sorted { $0.span.lower < $1.span.lower })
  }

  /// A table that is only told deltas is the one that made them, version by version.
  @Test(arguments: testSeeds(count: 5))
  func followsWhatMadeIt(seed: UInt64) throws {
    var changes = try RouteTableChanges(seed: seed, count: 30)
    var follower = RouteTable(in: IndexStore(fanOut: 4))
    try follower.apply(delta(follower, changes.table))
    for step in 0..<80 {
      let old = changes.table
      try changes.change(1 + step % 6, isGrowing: (step / 20) % 2 == 0)
      guard changes.table.version > old.version else { continue }
      try follower.apply(delta(old, changes.table))
      #expect(follower.digest == changes.table.digest, "seed \(seed) step \(step)")
      #expect(follower.version == changes.table.version, "seed \(seed) step \(step)")
      follower.checkInvariants()
    }
    #expect(
      follower.routes(overlapping: .all) == changes.table.routes(overlapping: .all), "seed \(seed)")
  }

  /// Versions may be skipped, as by a watcher that was away.
  @Test(arguments: testSeeds(count: 3))
  func leapsOverVersions(seed: UInt64) throws {
    var changes = try RouteTableChanges(seed: seed, count: 10)
    var follower = changes.table
    for _ in 0..<8 {
      let old = changes.table
      for _ in 0..<10 { try changes.change(3, isGrowing: changes.random.oneIn(2)) }
      try follower.apply(delta(old, changes.table))
      #expect(follower.digest == changes.table.digest, "seed \(seed)")
      follower.checkInvariants()
    }
  }

  /// Whatever is done to a delta, the table is left as it was, or whole with another digest.
  @Test(arguments: testSeeds(count: 4))
  func refusesOrShowsWhatIsWrong(seed: UInt64) throws {
    var changes = try RouteTableChanges(seed: seed, count: 12)
    var refused = 0
    for step in 0..<60 {
      let old = changes.table
      try changes.change(3, isGrowing: step % 2 == 0)
      let good = delta(old, changes.table)
      guard good.to > good.from, !good.upserted.isEmpty else { continue }
      var bad = good
      let index = changes.random.below(bad.upserted.count)
      switch changes.random.below(7) {
      case 0: bad.upserted.remove(at: index)
      case 1: bad.upserted.append(bad.upserted[index])
      case 2: bad.upserted[index].group = GroupID(77)
      case 3: bad.upserted[index].id = RouteID(changes.random.oneIn(2) ? 0 : .max)
      case 4: bad.upserted[index].span = .all
      case 5: bad.removed.append(RouteID(1_000_000))
      default: bad.removed.append(bad.upserted[index].id)
      }
      guard bad != good else { continue }
      var follower = old
      do {
        try follower.apply(bad)
        #expect(follower.digest != changes.table.digest, "seed \(seed) step \(step)")
      } catch {
        refused += 1
        #expect(follower.version == old.version && follower.digest == old.digest)
      }
      follower.checkInvariants()
    }
    #expect(refused > 0, "seed \(seed): nothing was refused")
  }

  @Test func saysWhatDoesNotFit() throws {
    let table = try RouteTableChanges(seed: 1, count: 3).table
    let routes = table.routes(overlapping: .all)
    func refusal(_ change: (inout RouteDelta) -> Void) -> RouteDeltaError? {
      var delta = RouteDelta(
        from: table.version, to: table.version.next, removed: [], upserted: [])
      change(&delta)
      var copy = table
      do throws(RouteDeltaError) {
        try copy.apply(delta)
        return nil
      } catch { return error }
    }
    let version = table.version
    #expect(
      refusal { $0.from = version.next }
        == .doesNotFollow(version, from: version.next, to: version.next))
    #expect(refusal { $0.removed = [RouteID(99)] } == .noSuchRoute(RouteID(99)))
    #expect(refusal { $0.removed = [routes[1].id] } == .leavesGap(at: routes[1].span.lower))
    #expect(refusal { $0.removed = routes.map(\.id) } == .leavesGap(at: .least))
    var other = routes[1]
    other.id = RouteID(50)
    #expect(refusal { $0.upserted = [other] } == .overlaps(routes[1].id))
    var long = routes[0]
    long.span = .all
    #expect(refusal { $0.upserted = [long] } == .doesNotEndAtNext(long.id))
    var empty = RouteTable()
    #expect(throws: RouteDeltaError.self) {
      try empty.apply(
        RouteDelta(from: .zero, to: CatalogVersion(1), removed: [], upserted: [other]))
    }
    #expect(empty.isEmpty)
  }
}
