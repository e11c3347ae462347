import TestSupport
import Testing

@testable import Catalog

@Suite struct SelectedRoutesTests {
  private func route(
    _ id: UInt64, _ lower: String, _ upper: String?, group: UInt64 = 1, version: UInt64 = 1
  ) -> Route {
    Route(
      id: RouteID(id),
      span: KeySpan(unchecked: Key(lower), upper.map { Key($0) }), group: GroupID(group),
      version: CatalogVersion(version), changedAt: HybridTimestamp(version))
  }

  private func problem(
    _ routes: SelectedRoutes, removed: [UInt64] = [], _ upserted: [Route]
  ) -> RouteDeltaError? {
    var routes = routes
    let before = routes.routes(overlapping: .all)
    do throws(RouteDeltaError) {
      try routes.apply(
        RouteDelta(
          from: routes.version, to: routes.version.next, removed: removed.map { RouteID($0) },
          upserted: upserted))
      return nil
    } catch {
      #expect(routes.routes(overlapping: .all) == before)
      return error
    }
  }

  @Test func aSpanHasEveryKeyOfIt() throws {
    let span = KeySpan(unchecked: Key("c"), Key("p"))
    let all = [
      route(1, "", "b"), route(2, "b", "g"), route(3, "g", "m", group: 2), route(4, "m", nil),
    ]
    var routes = try SelectedRoutes(.span(span), version: CatalogVersion(1), routes: all)
    #expect(routes.routes(overlapping: .all) == Array(all[1...]))
    #expect(routes.route(containing: Key("a")) == nil)
    #expect(routes.route(containing: Key("b"))?.id == RouteID(2))
    #expect(routes.owner(of: UnsafeRawBufferPointer(start: nil, count: 0)) == nil)
    #expect(routes.route(id: RouteID(1)) == nil && routes.route(id: RouteID(3)) == all[2])
    #expect(routes.routes(of: GroupID(2)) == [all[2]])
    #expect(routes.routes(overlapping: KeySpan(unchecked: Key("h"), Key("i"))) == [all[2]])
    #expect(routes.routes(overlapping: .all, limit: 2).count == 2)

    // A route that leaves keys to nobody, or to two.
    #expect(problem(routes, removed: [3], []) == .leavesGap(at: Key("g")))
    #expect(problem(routes, [route(3, "g", "k")]) == .leavesGap(at: Key("k")))
    #expect(problem(routes, [route(2, "d", "g")]) == .leavesGap(at: Key("c")))
    #expect(problem(routes, [route(2, "b", "h")]) == .overlaps(RouteID(2)))
    #expect(problem(routes, [route(9, "h", "i")]) == .overlaps(RouteID(3)))
    #expect(problem(routes, [route(0, "g", "m")]) != nil)
    #expect(problem(routes, removed: [3, 3], []) == .badRoute(RouteID(3)))
    #expect(
      problem(routes, [route(3, "g", "k"), route(3, "k", "m")]) == .badRoute(RouteID(3)))
    // Outside of the span nobody needs to hold a key.
    #expect(problem(routes, [route(4, "m", "q")]) == nil)
    #expect(problem(routes, removed: [77], [route(1, "", "a")]) == nil)

    try routes.apply(
      RouteDelta(
        from: CatalogVersion(1), to: CatalogVersion(5), removed: [RouteID(4)],
        upserted: [route(3, "g", "z")]))
    #expect(routes.version == CatalogVersion(5) && routes.count == 2)
    #expect(routes.route(containing: Key("y"))?.id == RouteID(3))
    #expect(routes.route(containing: Key("z")) == nil)
    do throws(RouteDeltaError) {
      try routes.apply(
        RouteDelta(from: CatalogVersion(4), to: CatalogVersion(6), removed: [], upserted: []))
      Issue.record("it does not follow")
    } catch {
      #expect(
        error
          == .doesNotFollow(CatalogVersion(5), from: CatalogVersion(4), to: CatalogVersion(6)))
    }
  }

  @Test func aSnapshotWithAGapIsRefused() {
    let span = WatchFilter.span(KeySpan(unchecked: Key("c"), nil))
    for routes in [
      [route(1, "d", nil)], [route(1, "", "f"), route(2, "g", nil)], [route(1, "", "f")],
    ] {
      #expect(throws: RouteDeltaError.self) {
        try SelectedRoutes(span, version: CatalogVersion(1), routes: routes)
      }
    }
    #expect(throws: RouteDeltaError.overlaps(RouteID(1))) {
      try SelectedRoutes(
        .group(GroupID(1)), version: CatalogVersion(1),
        routes: [route(1, "", "f"), route(2, "e", "g")])
    }
  }

  /// Against a sorted array of what the filter lets through, with routes that come, go, grow and
  /// shrink anywhere.
  @Test(arguments: testSeeds(count: 4)) func agreesWithAnArray(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let filter = WatchFilter.group(GroupID(1))
    var truth: [Route] = []
    var routes = try SelectedRoutes(filter, version: .zero, routes: [])
    for version in UInt64(1)...400 {
      var removed: [Route] = []
      for _ in 0..<Int.random(in: 0...3, using: &random) where !truth.isEmpty {
        removed.append(truth.remove(at: .random(in: 0..<truth.count, using: &random)))
      }
      var upserted: [Route] = []
      for number in 0..<UInt64.random(in: 0...4, using: &random) {
        let bounds = [
          Key.random(length: 0...3, using: &random), Key.random(length: 0...3, using: &random),
        ].sorted()
        guard bounds[0] < bounds[1] else { continue }
        let span = KeySpan(unchecked: bounds[0], random.oneIn(20) ? nil : bounds[1])
        guard !truth.contains(where: { $0.span.overlaps(span) }) else { continue }
        let old = random.oneIn(2) ? removed.popLast() : nil
        let route = Route(
          id: old?.id ?? RouteID(version * 10 + number), span: span,
          // Now and then it is another group's by now: it goes.
          group: GroupID(random.oneIn(6) ? 2 : 1), version: CatalogVersion(version),
          changedAt: HybridTimestamp(version))
        upserted.append(route)
        if filter.contains(route) { truth.append(route) }
      }
      truth.sort { $0.span.lower < $1.span.lower }
      upserted.sort { $0.span.lower < $1.span.lower }
      try routes.apply(
        RouteDelta(
          from: routes.version, to: CatalogVersion(version), removed: removed.map(\.id).sorted(),
          upserted: upserted))
      #expect(routes.routes(overlapping: .all) == truth, "seed \(seed), version \(version)")
      #expect(routes.count == truth.count)
      for _ in 0..<10 {
        let key = Key.random(length: 0...3, using: &random)
        let expected = truth.first { $0.span.contains(key) }
        #expect(routes.route(containing: key) == expected, "seed \(seed), version \(version)")
        let owner = key.bytes.withUnsafeBytes { routes.owner(of: $0) }
        #expect(owner?.route == expected?.id)
      }
      if let any = truth.randomElement(using: &random) { #expect(routes.route(id: any.id) == any) }
    }
  }
}
