import TestSupport
import Testing

@testable import Catalog

@Suite struct RouteTableTests {
  /// Random events, valid and not, on the table and on its twin: the same result, the same error.
  @Test(arguments: [4, 32], testSeeds(count: 4))
  func agreesWithASortedArray(fanOut: Int, seed: UInt64) throws {
    let worker = TestWorker()
    var random = SeededGenerator(seed: seed)
    var table = RouteTable(in: IndexStore(fanOut: fanOut))
    var twin = NaiveRouteTable()
    for step in 0..<250 {
      let version = table.version.next
      let time = HybridTimestamp(milliseconds: UInt64(step) * 1_000, counter: UInt16(step % 3))
      // Now and then several events in one version; one that does not fit undoes them all.
      let events = (0...(random.oneIn(4) ? 5 : 0)).map { _ in draw(from: twin, &random) }
      let result = apply(events, to: &table, version, time, worker)
      let expected = apply(events, to: &twin, version, time)
      #expect(result == expected, "seed \(seed) step \(step): \(events)")
      table.checkInvariants()
      compare(table, twin, &random, "seed \(seed) step \(step)")
    }
    #expect(table.count > 1, "seed \(seed)")
    let store = table.store
    table = RouteTable()
    worker.finish()
    store.reclaim(limit: .max)
    #expect(store.nodeCount == 0, "seed \(seed)")
  }

  private func draw(from twin: NaiveRouteTable, _ random: inout SeededGenerator) -> Event {
    guard let route = twin.sorted.randomElement(using: &random), !random.oneIn(60) else {
      let keys = Key.randomSet(count: 6, including: [.least], using: &random)
      let seeds = keys.enumerated().map { index, key in
        RouteSeed(
          id: RouteID(UInt64(random.oneIn(20) ? 1 : index + 1)), start: key,
          group: GroupID(UInt64(random.below(3))), allowedRegions: regions(&random))
      }
      return .routesBootstrapped(seeds)
    }
    let id = random.oneIn(30) ? RouteID(route.id.rawValue + 1) : route.id
    let start = random.oneIn(30) ? Key.random(using: &random) : route.span.lower
    switch random.below(10) {
    case 0..<4:
      let boundary = Key(unchecked: KeyShape.drawAny(&random))
      let holder = twin.route(containing: boundary) ?? route
      let isInside = !random.oneIn(10)
      return .routeSplit(
        route: isInside ? holder.id : id, start: isInside ? holder.span.lower : start,
        boundary: boundary,
        newRoute: RouteID(
          twin.nextRouteID.rawValue + UInt64(random.below(3)) - (random.oneIn(20) ? 1 : 0)))
    case 4..<7:
      let neighbour = route.span.upper.flatMap { twin.route(containing: $0) }
      let absorbed = random.oneIn(20) ? twin.sorted.randomElement(using: &random) : neighbour
      return .routesMerged(
        route: id, start: start, boundary: absorbed?.span.lower ?? start,
        absorbed: absorbed?.id ?? id)
    case 7:
      return .routeMoved(
        route: id, start: start, from: random.oneIn(10) ? GroupID(99) : route.group,
        to: GroupID(random.oneIn(5) ? UInt64.max : UInt64(random.below(4))))
    case 8:
      return .routeStateChanged(
        route: id, start: start, from: random.oneIn(10) ? .softFailed : route.state,
        to: RouteState.allCases.randomElement(using: &random) ?? .active)
    default:
      return .allowedRegionsChanged(route: id, start: start, regions: regions(&random))
    }
  }

  private func regions(_ random: inout SeededGenerator) -> [Region] {
    let count = random.oneIn(20) ? Region.maximumCount : random.below(4)
    return (0..<count).map {
      Region(unchecked: "r\(100 + $0)-\(String(repeating: "x", count: $0 % 50))")
    }
  }

  private func apply(
    _ events: [Event], to table: inout RouteTable, _ version: CatalogVersion,
    _ time: HybridTimestamp, _ worker: TestWorker
  ) -> RouteTableError? {
    do throws(RouteTableError) {
      try table.edit(version: version, time: time) { editor throws(RouteTableError) in
        // As a replay does, with one thread and with two: it comes to the same.
        if time.counter == 0 { editor.gatherGroupChanges() }
        if time.counter == 1 {
          editor.deferChanges(to: worker, recordByteCount: 300, changeCount: 3) { $1.expected }
        }
        for event in events {
          editor.expect(.someDigest)
          switch event {
          case .routesBootstrapped(let seeds): try editor.bootstrap(seeds)
          case .routeSplit(let route, let start, let boundary, let newRoute):
            try editor.split(route: route, start: start, boundary: boundary, newRoute: newRoute)
          case .routesMerged(let route, let start, let boundary, let absorbed):
            try editor.merge(route: route, start: start, boundary: boundary, absorbed: absorbed)
          case .routeMoved(let route, let start, let from, let to):
            try editor.move(route: route, start: start, from: from, to: to)
          case .routeStateChanged(let route, let start, let from, let to):
            try editor.setState(route: route, start: start, from: from, to: to)
          case .allowedRegionsChanged(let route, let start, let regions):
            try editor.setAllowedRegions(route: route, start: start, to: regions)
          case .catalogCommitted, .logTrimmed, .region, .membership: break
          }
        }
      }
      return nil
    } catch {
      return error
    }
  }

  private func apply(
    _ events: [Event], to table: inout NaiveRouteTable, _ version: CatalogVersion,
    _ time: HybridTimestamp
  ) -> RouteTableError? {
    do throws(RouteTableError) {
      try table.edit(version: version, time: time) { editor throws(RouteTableError) in
        for event in events {
          switch event {
          case .routesBootstrapped(let seeds): try editor.bootstrap(seeds)
          case .routeSplit(let route, let start, let boundary, let newRoute):
            try editor.split(route: route, start: start, boundary: boundary, newRoute: newRoute)
          case .routesMerged(let route, let start, let boundary, let absorbed):
            try editor.merge(route: route, start: start, boundary: boundary, absorbed: absorbed)
          case .routeMoved(let route, let start, let from, let to):
            try editor.move(route: route, start: start, from: from, to: to)
          case .routeStateChanged(let route, let start, let from, let to):
            try editor.setState(route: route, start: start, from: from, to: to)
          case .allowedRegionsChanged(let route, let start, let regions):
            try editor.setAllowedRegions(route: route, start: start, to: regions)
          case .catalogCommitted, .logTrimmed, .region, .membership: break
          }
        }
      }
      return nil
    } catch {
      return error
    }
  }

  private func compare(
    _ table: RouteTable, _ twin: NaiveRouteTable, _ random: inout SeededGenerator,
    _ context: String
  ) {
    #expect(table.version == twin.version, "\(context)")
    #expect(table.nextRouteID == twin.nextRouteID, "\(context)")
    #expect(table.digest == twin.digest, "\(context)")
    #expect(table.count == twin.count, "\(context)")
    #expect(table.routes(overlapping: .all) == twin.sorted, "\(context)")
    let limit = random.below(6)
    let group = GroupID(UInt64(random.below(4)))
    let id = random.oneIn(3) ? nil : RouteID(UInt64(random.below(40)))
    #expect(
      table.routes(of: group, after: id, limit: limit)
        == twin.routes(of: group, after: id, limit: limit), "\(context)")
    #expect(
      table.routes(after: id, limit: limit) == twin.routes(after: id, limit: limit), "\(context)")
    #expect(table.routes(after: RouteID(.max)).isEmpty)
    let one = RouteID(UInt64(random.below(60)))
    #expect(table.route(id: one) == twin.route(id: one), "\(context)")
    for _ in 0..<4 {
      let key = Key(unchecked: KeyShape.drawAny(&random))
      let route = twin.route(containing: key)
      #expect(table.route(containing: key) == route, "\(context)")
      let owner = key.bytes.withUnsafeBytes { table.owner(of: $0) }
      #expect(
        owner == route.map { RouteOwner(route: $0.id, group: $0.group, state: $0.state) },
        "\(context)")
      let upper = Key(unchecked: KeyShape.drawAny(&random))
      guard key < upper else { continue }
      let span = KeySpan(unchecked: key, random.oneIn(4) ? nil : upper)
      #expect(
        table.routes(overlapping: span, limit: limit)
          == twin.routes(overlapping: span, limit: limit), "\(context)")
    }
  }

  @Test(arguments: testSeeds(count: 3))
  func restoresWhatItWasMadeOf(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    var table = RouteTable()
    try table.edit(version: CatalogVersion(1), time: HybridTimestamp(1)) {
      editor throws(RouteTableError) in
      try editor.bootstrap([RouteSeed(id: RouteID(1), start: .least, group: GroupID(7))])
      for id in UInt64(2)..<500 {
        let route = editor.route(startingAt: .least)
        let boundary = Key(
          unchecked: [UInt8](repeating: 0, count: 2) + KeyShape.plain.draw(&random))
        guard let route, route.span.contains(boundary) else { continue }
        try editor.split(
          route: route.id, start: .least, boundary: boundary, newRoute: RouteID(id))
      }
    }
    let routes = table.routes(overlapping: .all)
    let restored = try RouteTable(
      version: table.version, nextRouteID: table.nextRouteID, routes: routes)
    restored.checkInvariants()
    #expect(restored.digest == table.digest)
    #expect(restored.routes(overlapping: .all) == routes)

    #expect(throws: RouteTableError.self) {
      try RouteTable(
        version: table.version, nextRouteID: table.nextRouteID, routes: routes.dropFirst())
    }
    #expect(throws: RouteTableError.self) {
      try RouteTable(
        version: table.version, nextRouteID: table.nextRouteID, routes: routes.dropLast())
    }
    #expect(throws: RouteTableError.self) {
      try RouteTable(version: table.version, nextRouteID: RouteID(2), routes: routes)
    }
  }

  /// What is hashed by another thread is compared with what is expected after each change.
  @Test(arguments: [nil, 0, 17, 99])
  func recordsThatDoNotAddUpAreNamed(wrong: Int?) throws {
    var table = RouteTable()
    let worker = TestWorker()
    let seed = RouteSeed(id: RouteID(1), start: .least, group: GroupID(7))
    var digests: [StateDigest] = []
    try table.edit(version: CatalogVersion(1), time: HybridTimestamp(1)) {
      editor throws(RouteTableError) in
      try editor.bootstrap([seed])
      for id in UInt64(2)..<102 {
        try editor.split(
          route: RouteID(1), start: .least, boundary: Key("\(1_000 - id)"), newRoute: RouteID(id))
        digests.append(editor.digest)
      }
    }
    var other = RouteTable()
    try other.edit(version: CatalogVersion(1), time: HybridTimestamp(1)) {
      editor throws(RouteTableError) in
      editor.deferChanges(to: worker, recordByteCount: 1_000, changeCount: 10) { sum, _ in sum }
      try editor.bootstrap([seed])
      for id in UInt64(2)..<102 {
        try editor.split(
          route: RouteID(1), start: .least, boundary: Key("\(1_000 - id)"), newRoute: RouteID(id))
        var expectation = DigestExpectation.someDigest
        expectation.position = LogPosition(id - 2)
        let index = Int(id - 2)
        if index != wrong { expectation.expected = digests[index] }
        editor.expect(expectation)
      }
      editor.finishDeferred()
      #expect(editor.divergence?.position == wrong.map { LogPosition(UInt64($0)) })
      #expect(editor.divergence?.found == wrong.map { digests[$0] })
    }
    #expect(other.routes(overlapping: .all) == table.routes(overlapping: .all))
    guard wrong == nil else { return }
    other.checkInvariants()
    #expect(other.digest == table.digest)
  }

  /// The bytes that are hashed, spelled out once.
  @Test func theRecordOfARouteHasItsBytes() throws {
    let route = Route(
      id: RouteID(0x0102), span: KeySpan(unchecked: Key("a"), Key("bc")), group: GroupID(3),
      state: .writeFenced, parent: RouteID(4),
      allowedRegions: [try Region("eu"), try Region("us")],
      version: CatalogVersion(5), changedAt: HybridTimestamp(6))
    #expect(
      hexadecimal(route.record)
        == "01" + "0201000000000000" + "0161" + "01" + "026263" + "0300000000000000" + "01"
        + "0400000000000000" + "02" + "026575" + "027573" + "0500000000000000"
        + "0600000000000000")
  }
}

extension DigestExpectation {
  fileprivate static var someDigest: Self {
    DigestExpectation(
      position: .zero, version: CatalogVersion(1), nextRouteID: RouteID(1), others: .zero,
      expected: .zero)
  }
}
