import Catalog
import StateMachines
import TestSupport
import Testing

@Suite struct EvolveTests {
  /// Three entries, the state after all of them, and the learner's after the first.
  private func history() throws -> (leader: TestCatalog, learner: CatalogState) {
    var leader = try TestCatalog(starts: ["m"])
    try leader.perform(.split([SplitRequest(at: Key("c"))]))
    try leader.perform(.move([RouteID(2)], to: GroupID(5)))
    var learner = CatalogState(catalog: TestCatalog.id)
    try learner.evolve(leader.entries[0])
    return (leader, learner)
  }

  /// The entry at `index` with changes, chained and hashed as if it had been written so.
  private func altered(
    _ entry: EncodedEntry, _ change: (inout LogEntry) -> Void
  ) throws -> EncodedEntry {
    var altered = entry.entry
    change(&altered)
    return try EncodedEntry(altered)
  }

  @Test func theSameEntriesMakeEqualStates() throws {
    var (leader, learner) = try history()
    for entry in leader.entries {
      try learner.evolve(try EncodedEntry(decoding: entry.bytes))
    }
    #expect(learner.header == leader.state.header)
    #expect(learner.routes.routes(overlapping: .all) == leader.routes)
    // And the one that proposed them is where whoever folds them is.
    try leader.perform(.split([SplitRequest(at: Key("x"))]))
    try learner.evolve(leader.entries[3])
    #expect(learner.header == leader.state.header)
  }

  @Test func whatWasAppliedMayComeAgain() throws {
    var (leader, learner) = try history()
    try learner.evolve(leader.entries[1])
    let before = learner.header
    try learner.evolve(leader.entries[0])
    try learner.evolve(leader.entries[1])
    #expect(learner.header == before)
  }

  @Test func anotherEntryAtTheLastPositionIsAFork() throws {
    var (leader, learner) = try history()
    try learner.evolve(leader.entries[1])
    let other = try altered(leader.entries[1]) { $0.reason = "another" }
    let error = EvolveError.forked(
      LogPosition(2), applied: leader.entries[1].hash, found: other.hash)
    #expect(throws: error) { try learner.evolve(other) }
  }

  private func expect(
    _ error: EvolveError, from entry: EncodedEntry, in learner: CatalogState,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    var learner = learner
    let before = learner
    #expect(throws: error, sourceLocation: sourceLocation) { try learner.evolve(entry) }
    #expect(learner.header == before.header, sourceLocation: sourceLocation)
    #expect(
      learner.routes.routes(overlapping: .all) == before.routes.routes(overlapping: .all),
      sourceLocation: sourceLocation)
  }

  @Test func gaps() throws {
    let (leader, learner) = try history()
    let error = EvolveError.gap(expected: LogPosition(2), found: LogPosition(3))
    expect(error, from: leader.entries[2], in: learner)
    #expect(error.recovery == .resume(from: LogPosition(2)))
    let empty = CatalogState(catalog: TestCatalog.id)
    expect(
      .gap(expected: LogPosition(1), found: LogPosition(2)), from: leader.entries[1], in: empty)
  }

  @Test func theLogOfAnotherCatalogIsRefused() throws {
    let (leader, _) = try history()
    let id = try #require(CatalogID(bytes: [UInt8](repeating: 7, count: 16)))
    expect(
      .brokenChain(
        LogPosition(1), expected: .genesis(of: id), found: .genesis(of: TestCatalog.id)),
      from: leader.entries[0], in: CatalogState(catalog: id))
  }

  @Test func chainTimeVersionAndDigestAreChecked() throws {
    let (leader, learner) = try history()
    let entry = leader.entries[1]
    let hash = EntryHash(of: UnsafeRawBufferPointer(start: nil, count: 0))
    expect(
      .brokenChain(LogPosition(2), expected: learner.lastHash, found: hash),
      from: try altered(entry) { $0.previous = hash }, in: learner)
    for time in [HybridTimestamp.zero, learner.lastTime, HybridTimestamp(.max)] {
      expect(
        .timeNotAfter(LogPosition(2), previous: learner.lastTime, found: time),
        from: try altered(entry) { $0.time = time }, in: learner)
    }
    for version in [CatalogVersion(1), CatalogVersion(3), CatalogVersion(.max)] {
      expect(
        .wrongVersion(LogPosition(2), expected: CatalogVersion(2), found: version),
        from: try altered(entry) { $0.version = version }, in: learner)
    }
    expect(
      .diverged(LogPosition(2), expected: .zero, found: entry.entry.digest),
      from: try altered(entry) { $0.digest = .zero }, in: learner)
  }

  @Test func eventsThatDoNotFitAreNamed() throws {
    let (leader, learner) = try history()
    let poison = try altered(leader.entries[1]) {
      $0.events.append(
        .routeMoved(route: RouteID(9), start: Key("q"), from: GroupID(1), to: GroupID(2)))
    }
    let error = EvolveError.doesNotApply(LogPosition(2), event: 1, .noRouteStarts(at: Key("q")))
    expect(error, from: poison, in: learner)
    guard case .halt = error.recovery else {
      Issue.record("a poison entry halts")
      return
    }
  }

  @Test func anEntryWithoutEventsKeepsTheVersion() throws {
    var (leader, learner) = try history()
    let quiet = try altered(leader.entries[1]) {
      $0.events = []
      $0.version = learner.version
      $0.digest = learner.digest
    }
    try learner.evolve(quiet)
    #expect(learner.version == CatalogVersion(1))
    #expect(learner.appliedThrough == LogPosition(2))
    #expect(learner.lastHash == quiet.hash)
    leader.state = learner
    try leader.perform(.split([SplitRequest(at: Key("c"))]))
    #expect(leader.state.version == CatalogVersion(2))
  }

  @Test func aStateIsTakenOverAndGoesOn() throws {
    let (leader, learner) = try history()
    var restored = try CatalogState(
      restoring: learner.header, routes: learner.routes.routes(overlapping: .all))
    for entry in leader.entries.dropFirst() { try restored.evolve(entry) }
    #expect(restored.header == leader.state.header)
    #expect(restored.routes.routes(overlapping: .all) == leader.routes)

    let empty = CatalogState(catalog: TestCatalog.id)
    restored = try CatalogState(restoring: empty.header, routes: [])
    for entry in leader.entries { try restored.evolve(entry) }
    #expect(restored.header == leader.state.header)
  }

  @Test func aStateThatDoesNotAddUpIsNotTakenOver() throws {
    let (leader, _) = try history()
    let (header, routes) = (leader.state.header, leader.routes)
    #expect(throws: EvolveError.self) {
      try CatalogState(restoring: header, routes: routes.dropFirst())
    }
    #expect(throws: EvolveError.self) {
      try CatalogState(restoring: header, routes: routes.dropLast())
    }
    #expect(throws: EvolveError.self) {
      try CatalogState(restoring: header, routes: routes.reversed())
    }
    var other = header
    other.version = CatalogVersion(2)
    #expect(throws: EvolveError.self) { try CatalogState(restoring: other, routes: routes) }
    for impossible in [
      { (header: inout StateHeader) in header.position = LogPosition(.max) },
      { header in header.time = HybridTimestamp(.max) },
      { header in header.version = CatalogVersion(9) },
    ] {
      var header = header
      impossible(&header)
      #expect(throws: EvolveError.impossibleHeader) {
        try CatalogState(restoring: header, routes: routes)
      }
    }
    #expect(EvolveError.impossibleHeader.recovery == .installState)
  }

  /// Whatever is proposed is an entry that every replica takes: the last time there is is not.
  @Test func noEntryGetsTheLastTime() throws {
    func state(lastTime: UInt64) throws -> CatalogState {
      var header = CatalogState(catalog: TestCatalog.id).header
      header.position = LogPosition(1)
      header.time = HybridTimestamp(lastTime)
      return try CatalogState(restoring: header, routes: [])
    }
    let command = TestCatalog(empty: ()).command(
      .bootstrap([RouteSeedRequest(start: .least, group: GroupID(1))]))
    for (last, isRefused) in [(UInt64.max - 1, true), (.max - 2, false), (1 << 62, false)] {
      var state = try state(lastTime: last)
      let time = state.lastTime.following(wallMilliseconds: 1_785_312_000_000)
      if isRefused {
        #expect(throws: Refusal.clockWrong(time)) { try state.propose(command, time: time) }
      } else {
        var replica = state
        guard case .append(let entry) = try state.propose(command, time: time) else { return }
        try replica.evolve(entry)
        #expect(replica.lastTime == time)
      }
    }
  }
}
