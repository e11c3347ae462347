import Catalog
import StateMachines
import TestSupport
import Testing

/// Answers as of a version from an earlier table's few routes, against the table of that version.
@Suite struct RouteLensTests {
  /// A catalog with its state after each entry.
  private struct Story {
    var states: [CatalogState] = [CatalogState(catalog: TestCatalog.id)]
    var entries: [LogEntry] = []

    init(seed: UInt64, count: Int) throws {
      var generator = SeededGenerator(seed: seed)
      var catalog = TestCatalog(empty: ())
      try catalog.perform(
        .bootstrap(
          ["", "b", "bb", "c"].map { RouteSeedRequest(start: Key($0), group: GroupID(1)) }))
      states.append(catalog.state)
      while catalog.entries.count < count {
        let before = catalog.entries.count
        let change = RouteChange.random(
          for: catalog.routes, nextRouteID: catalog.state.routes.nextRouteID, using: &generator)
        do throws(Refusal) { try catalog.perform(change) } catch {}
        if catalog.entries.count > before { states.append(catalog.state) }
      }
      entries = catalog.entries.map(\.entry)
    }
  }

  private func routes(in table: RouteTable, _ scope: RouteScope) -> [Route] {
    table.routes(overlapping: .all).filter(scope.contains)
  }

  @Test(arguments: testSeeds(count: 24))
  func aLensSeesWhatTheWholeTableHas(seed: UInt64) throws {
    let story = try Story(seed: seed, count: 90)
    var generator = SeededGenerator(seed: seed &+ 1000)
    func key() -> Key { .random(length: 0...4, alphabet: 0x61...0x64, using: &generator) }
    for step in 0..<300 {
      let from = Int.random(in: 0..<story.states.count, using: &generator)
      let to = Int.random(in: from..<story.states.count, using: &generator)
      let (base, target) = (story.states[from].routes, story.states[to].routes)
      let scope: RouteScope
      switch step % 4 {
      case 0: scope = .keys((0...Int.random(in: 0...2, using: &generator)).map { _ in key() })
      case 1:
        let (lower, upper) = (key(), key())
        scope = .span(
          lower < upper ? KeySpan(unchecked: lower, upper) : KeySpan(unchecked: lower, nil))
      case 2: scope = .group(GroupID(.random(in: 1...3, using: &generator)))
      default:
        let last = story.states[story.states.count - 1].routes.nextRouteID.rawValue
        scope = .ids(
          Set((0...3).map { _ in RouteID(UInt64.random(in: 0...last, using: &generator)) }))
      }
      let place: Comment = "seed \(seed), step \(step), \(scope) from \(from) to \(to)"
      let entries = story.entries[from..<to]
      let expected = routes(in: target, scope)

      var tracker = RouteTracker(scope, from: startingIDs(in: base, scope))
      for entry in entries { for event in entry.events { tracker.follow(event) } }
      if case .ids = scope {
      } else {
        #expect(tracker.candidates.isSuperset(of: expected.map(\.id)), place)
        #expect(tracker.candidates.allSatisfy { target.route(id: $0) != nil }, place)
      }
      if case .keys(let keys) = scope, keys.count == 1 {
        #expect(tracker.candidates == Set(expected.map(\.id)), place)
      }
      let plan = RoutePlan(to: tracker.candidates, through: entries)
      let found = try plan.fold(onto: plan.needed.compactMap { base.route(id: $0) })
      let answer = found.filter(scope.contains).sorted { $0.span.lower < $1.span.lower }
      guard answer == expected else {
        Issue.record("\(place): \(answer) instead of \(expected)")
        return
      }
    }
  }

  private func startingIDs(in table: RouteTable, _ scope: RouteScope) -> [RouteID] {
    if case .ids(let ids) = scope { return Array(ids) }
    return routes(in: table, scope).map(\.id)
  }

  @Test(arguments: testSeeds(count: 24))
  func someRoutesChangeAsTheyDoInTheTable(seed: UInt64) throws {
    let story = try Story(seed: seed, count: 90)
    var generator = SeededGenerator(seed: seed &+ 2000)
    for _ in 0..<20 {
      let from = Int.random(in: 0..<story.states.count, using: &generator)
      let to = Int.random(in: from..<story.states.count, using: &generator)
      var touched: Set<RouteID> = []
      for entry in story.entries[from..<to] {
        for event in entry.events { event.forEachRoute { touched.insert($0) } }
      }
      let base = story.states[from].routes
      var partial = PartialRoutes(touched.compactMap { base.route(id: $0) })
      for index in from..<to {
        let changes = try partial.apply(story.entries[index])
        let (before, after) = (story.states[index].routes, story.states[index + 1].routes)
        let place: Comment = "seed \(seed), entry \(index + 1)"
        let delta = RouteDelta.between(before, after, touching: story.entries[index].events)
        #expect(
          Set(changes.compactMap(\.after).map(\.id)) == Set(delta.upserted.map(\.id)), place)
        #expect(changes.filter { $0.after == nil }.map(\.id) == delta.removed, place)
        for change in changes {
          #expect(change.before == before.route(id: change.id), place)
          #expect(change.after == after.route(id: change.id), place)
        }
      }
    }
  }

  @Test func routesThatDoNotFitAreRefused() throws {
    var catalog = try TestCatalog(starts: ["m"])
    let base = catalog.routes
    try catalog.perform(.split([SplitRequest(at: Key("g"))]))
    let entries = catalog.entries.dropFirst().map(\.entry)
    let plan = RoutePlan(to: [RouteID(3)], through: entries)
    #expect(plan.needed == [RouteID(1)])
    #expect(try plan.fold(onto: base).map(\.id) == [RouteID(3)])
    #expect(throws: EvolveError.self) { try plan.fold(onto: []) }
    var other = base[0]
    other.span = KeySpan(unchecked: .least, Key("c"))
    #expect(throws: EvolveError.self) { try plan.fold(onto: [other]) }
  }
}
