import Catalog
import StateMachines
import TestSupport
import Testing

/// Entries whose events may say anything: a learner that is sent them never traps, and what can be
/// folded leaves routes that tile the keyspace.
@Suite struct EvolveHostileTests {
  @Test(arguments: testSeeds(count: 16))
  func noEventsTrapOrBreakTheTiling(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var catalog = try TestCatalog(starts: ["b", "c", "m"])
    var (folded, refused) = (0, 0)
    for round in 0..<400 {
      let place: Comment = "seed \(seed), round \(round)"
      let change = RouteChange.random(
        for: catalog.routes, nextRouteID: catalog.state.routes.nextRouteID, using: &generator)
      guard case .append(var events)? = try? catalog.state.decide(catalog.command(change)) else {
        continue
      }
      let before = catalog.state
      if generator.oneIn(3) { events += events }
      events[Int.random(in: 0..<events.count, using: &generator)]
        .mutate(routes: catalog.routes, using: &generator)
      var entry = LogEntry(
        position: before.appliedThrough.next, previous: before.lastHash, time: before.lastTime.next,
        actor: "", reason: "", command: commandID(0), version: before.version.next, events: events,
        digest: .zero)
      do throws(EvolveError) {
        try catalog.state.evolve(entry, hash: before.lastHash)
        Issue.record("\(place): a wrong digest was taken")
      } catch .diverged(_, _, let digest) {
        // The events can be folded: fold them, with the digest that they lead to.
        entry.digest = digest
        try catalog.state.evolve(entry, hash: before.lastHash)
        folded += 1
      } catch {
        #expect(catalog.state.header == before.header, place)
        #expect(catalog.routes == before.routes.routes(overlapping: .all), place)
        refused += 1
        continue
      }
      catalog.state.routes.checkInvariants()
      #expect(catalog.routes.first?.span.lower == .least, place)
      for (left, right) in zip(catalog.routes, catalog.routes.dropFirst()) {
        #expect(left.span.upper == right.span.lower, place)
      }
      #expect(catalog.routes.last?.span.upper == nil, place)
      #expect(Set(catalog.routes.map(\.id)).count == catalog.routes.count, place)
      #expect(catalog.routes.allSatisfy { $0.id < catalog.state.routes.nextRouteID }, place)
    }
    #expect(folded > 10 && refused > 10, "seed \(seed): \(folded) folded, \(refused) refused")
  }

  /// The digest that the state after `events` has, or why they are not folded.
  private func outcome(of events: [Event], in state: CatalogState) throws -> EvolveError? {
    var state = state
    let entry = LogEntry(
      position: state.appliedThrough.next, previous: state.lastHash, time: state.lastTime.next,
      actor: "", reason: "", command: commandID(0), version: state.version.next, events: events,
      digest: .zero)
    do throws(EvolveError) {
      try state.evolve(entry, hash: state.lastHash)
      return nil
    } catch {
      return error
    }
  }

  @Test func bootstrapsThatDoNotTileAreNamed() throws {
    let empty = CatalogState(catalog: TestCatalog.id)
    func seed(_ id: UInt64, _ start: String) -> RouteSeed {
      RouteSeed(id: RouteID(id), start: Key(start), group: GroupID(1))
    }
    for (seeds, index) in [
      ([], 0), ([seed(1, "a")], 0), ([seed(1, ""), seed(2, "")], 1),
      ([seed(1, ""), seed(2, "b"), seed(3, "a")], 2), ([seed(0, "")], 0),
      ([seed(.max, "")], 0), ([seed(1, ""), seed(1, "b")], 1),
    ] {
      #expect(
        try outcome(of: [.routesBootstrapped(seeds)], in: empty)
          == .doesNotApply(LogPosition(1), event: 0, .badSeed(index: index)), "\(seeds)")
    }
    let catalog = try TestCatalog()
    #expect(
      try outcome(of: [.routesBootstrapped([seed(5, "")])], in: catalog.state)
        == .doesNotApply(LogPosition(2), event: 0, .notEmpty))
  }

  @Test func splitsAndMergesThatDoNotFitAreNamed() throws {
    let state = try TestCatalog(starts: ["m"]).state
    func split(_ route: UInt64, _ start: String, _ boundary: String, _ new: UInt64) -> Event {
      .routeSplit(
        route: RouteID(route), start: Key(start), boundary: Key(boundary), newRoute: RouteID(new))
    }
    func merge(_ route: UInt64, _ start: String, _ boundary: String, _ other: UInt64) -> Event {
      .routesMerged(
        route: RouteID(route), start: Key(start), boundary: Key(boundary), absorbed: RouteID(other))
    }
    for (event, error) in [
      (split(1, "", "", 3), RouteTableError.boundaryOutside(.least, RouteID(1))),
      (split(1, "", "m", 3), .boundaryOutside(Key("m"), RouteID(1))),
      (split(2, "m", "a", 3), .boundaryOutside(Key("a"), RouteID(2))),
      (split(2, "", "a", 3), .otherRouteStarts(at: .least, found: RouteID(1), named: RouteID(2))),
      (split(1, "a", "b", 3), .noRouteStarts(at: Key("a"))),
      (split(1, "", "a", 2), .routeIDUsed(RouteID(2))),
      (split(1, "", "a", 0), .routeIDUsed(RouteID(0))),
      (split(1, "", "a", .max), .routeIDUsed(RouteID(.max))),
      (merge(1, "", "m", 1), .otherRouteStarts(at: Key("m"), found: RouteID(2), named: RouteID(1))),
      (merge(2, "m", "", 1), .notNeighbours(RouteID(2), RouteID(1))),
      (merge(1, "", "", 1), .notNeighbours(RouteID(1), RouteID(1))),
    ] {
      #expect(
        try outcome(of: [event], in: state)
          == .doesNotApply(LogPosition(2), event: 0, error), "\(event)")
    }
  }
}

extension Event {
  /// Changes one of the fields to something else, often near to what would fit.
  fileprivate mutating func mutate(routes: [Route], using generator: inout SeededGenerator) {
    func id(_ id: RouteID) -> RouteID {
      switch Int.random(in: 0..<16, using: &generator) {
      case 0: RouteID(0)
      case 1: RouteID(.max - UInt64.random(in: 0...1, using: &generator) * (1 << 63))
      case 2: RouteID(id.rawValue &+ 1)
      case 3: routes.randomElement(using: &generator)?.id ?? id
      default: id
      }
    }
    func key(_ key: Key) -> Key {
      switch Int.random(in: 0..<12, using: &generator) {
      case 0: .random(length: 0...3, alphabet: 0x61...0x6D, using: &generator)
      case 1: routes.randomElement(using: &generator)?.span.lower ?? key
      case 2: Key(unchecked: key.bytes + [0])
      default: key
      }
    }
    func group() -> GroupID { GroupID(UInt64.random(in: 0...2, using: &generator)) }
    switch self {
    case .routesBootstrapped(let seeds):
      self = .routesBootstrapped(Array(seeds.shuffled(using: &generator).dropFirst()))
    case .routeSplit(let route, let start, let boundary, let newRoute):
      self =
        generator.oneIn(2)
        ? .routeSplit(
          route: id(route), start: start, boundary: key(boundary), newRoute: id(newRoute))
        : .routesMerged(route: route, start: key(start), boundary: boundary, absorbed: id(newRoute))
    case .routesMerged(let route, let start, let boundary, let absorbed):
      self =
        generator.oneIn(2)
        ? .routesMerged(
          route: id(route), start: key(start), boundary: key(boundary), absorbed: id(absorbed))
        : .routeSplit(route: route, start: start, boundary: key(boundary), newRoute: id(absorbed))
    case .routeMoved(let route, let start, _, _):
      self = .routeMoved(route: id(route), start: key(start), from: group(), to: group())
    case .routeStateChanged(let route, let start, let from, let to):
      self = .routeStateChanged(route: id(route), start: key(start), from: to, to: from)
    case .allowedRegionsChanged(let route, let start, let regions):
      self = .allowedRegionsChanged(route: id(route), start: key(start), regions: regions)
    case .catalogCommitted, .logTrimmed, .region, .membership:
      break
    }
  }
}
