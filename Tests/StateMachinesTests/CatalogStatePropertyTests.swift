import Catalog
import StateMachines
import TestSupport
import Testing

/// Random commands against the dumb twin: equal outcomes, equal routes, and a log that makes the
/// same state wherever it is replayed.
@Suite struct CatalogStatePropertyTests {
  @Test(arguments: testSeeds(count: 24))
  func commandsDoWhatTheTwinDoes(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var catalog = try TestCatalog(starts: ["b", "c"])
    var model = ModelCatalog(
      routes: catalog.routes, nextRouteID: catalog.state.routes.nextRouteID,
      version: catalog.state.version)
    var learner = CatalogState(catalog: TestCatalog.id)
    try learner.evolve(catalog.entries[0])
    var refused: Set<String> = []

    for step in 0..<250 {
      let place: Comment = "seed \(seed), step \(step)"
      let change = RouteChange.random(
        for: model.routes, nextRouteID: model.nextRouteID, using: &generator)
      let current = catalog.state.version.rawValue
      let expected =
        generator.oneIn(3)
        ? UInt64.random(
          in: current - min(3, current)...current + (generator.oneIn(9) ? 1 : 0),
          using: &generator) : nil
      let time = catalog.state.lastTime.next
      let before = catalog
      let outcome = model.perform(catalog.command(change, expecting: expected), time: time)
      do throws(Refusal) {
        let events = try catalog.perform(change, expecting: expected)
        #expect(outcome == (events.isEmpty ? .alreadyDone : .changed), place)
      } catch {
        guard case .refused(let reasons) = outcome else {
          Issue.record("seed \(seed), step \(step): \(change) was refused: \(error)")
          return
        }
        #expect(reasons.contains(error.code), place)
        #expect(catalog.state.header == before.state.header, place)
        refused.insert(error.code)
      }
      guard catalog.routes == model.routes else {
        // From here on everything differs, so the first difference is the one to tell.
        Issue.record("seed \(seed), step \(step): the twin has other routes after \(change)")
        return
      }
      #expect(catalog.state.routes.nextRouteID == model.nextRouteID, place)
      #expect(catalog.state.routes.count == model.routes.count, place)
      try checkTiling(catalog.routes, place)

      if catalog.entries.count > before.entries.count, let entry = catalog.entries.last {
        #expect(catalog.state.version == before.state.version.next, place)
        let decoded = try EncodedEntry(decoding: entry.bytes)
        #expect(decoded.entry == entry.entry, place)
        try learner.evolve(decoded)
      }
      #expect(learner.header == catalog.state.header, place)
      if step.isMultiple(of: 5) {
        catalog.state.routes.checkInvariants()
        let digest = ReferenceDigest.digest(
          version: model.version, nextRouteID: model.nextRouteID, routes: model.routes)
        #expect(catalog.state.digest == digest, place)
      }
      // Asked again, a change finds itself done, unless it names what is there no more.
      if case .changed = outcome, case .split = change {
        #expect(
          try catalog.state.decide(catalog.command(change, expecting: expected)) == .alreadyDone,
          place)
      }
    }

    try checkReplay(of: catalog, "seed \(seed)")
    #expect(refused.count >= 4, "seed \(seed): \(refused)")
  }

  /// A replay of the log's bytes, and a state taken over on the way, end where the writer is.
  private func checkReplay(of catalog: TestCatalog, _ place: Comment) throws {
    var replayed = CatalogState(catalog: TestCatalog.id)
    for (index, entry) in catalog.entries.enumerated() {
      if index == catalog.entries.count / 2 {
        replayed = try CatalogState(
          restoring: replayed.header, routes: replayed.routes.routes(overlapping: .all))
      }
      try replayed.evolve(try EncodedEntry(decoding: entry.bytes))
    }
    #expect(replayed.header == catalog.state.header, place)
    #expect(replayed.routes.routes(overlapping: .all) == catalog.routes, place)

    for worker in [nil, AtOnce()] {
      var together = CatalogState(catalog: TestCatalog.id)
      try together.evolve(all: catalog.entries, with: worker)
      #expect(together.header == catalog.state.header, place)
      #expect(together.routes.routes(overlapping: .all) == catalog.routes, place)
      together.routes.checkInvariants()
    }
  }

  /// Does what it is handed when it is handed it.
  private struct AtOnce: SerialWorker {
    func run(_ piece: @escaping @Sendable () -> Void) { piece() }
    func finish() {}
  }

  private func checkTiling(_ routes: [Route], _ place: Comment) throws {
    #expect(routes.first?.span.lower == .least, place)
    for (left, right) in zip(routes, routes.dropFirst()) {
      #expect(left.span.upper == right.span.lower, place)
    }
    #expect(routes.last?.span.upper == nil, place)
    #expect(Set(routes.map(\.id)).count == routes.count, place)
  }

  @Test func theSameSeedEndsWithTheSameDigest() throws {
    func run() throws -> StateHeader {
      var generator = SeededGenerator(seed: 42)
      var catalog = try TestCatalog()
      for _ in 0..<100 {
        let change = RouteChange.random(
          for: catalog.routes, nextRouteID: catalog.state.routes.nextRouteID, using: &generator)
        do throws(Refusal) { try catalog.perform(change) } catch {}
      }
      return catalog.state.header
    }
    #expect(try run() == run())
  }
}
