import Catalog
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// Answers about the past against the states that a replay goes through.
@Suite struct AuditReaderTests {
  private static let count = 120

  /// A story, sometimes with a base, and a reader of it: of checkpoints, or one that keeps few states.
  private func story(_ seed: UInt64) throws -> (AuditStory, AuditReader) {
    var story = try AuditStory(
      seed: seed, count: Self.count, before: seed.isMultiple(of: 3) ? 30 : 0)
    if seed.isMultiple(of: 2) { try story.makeCheckpoints(seed: seed, interval: 12) }
    return (story, reader(story, replayInterval: 1 + seed % 40))
  }

  private func reader(_ story: AuditStory, replayInterval: UInt64 = 1024) -> AuditReader {
    let checkpoints = story.checkpoints
    return AuditReader(
      story.log, checkpoints: { checkpoints }, replayInterval: replayInterval)
  }

  private func point(_ reader: AuditReader, _ version: UInt64) throws -> AuditPoint {
    try reader.resolve(.version(CatalogVersion(version)))
  }

  private func randomKey(_ generator: inout SeededGenerator) -> Key {
    .random(length: 0...3, alphabet: 0x61...0x64, using: &generator)
  }

  private func randomSpan(_ generator: inout SeededGenerator) -> KeySpan {
    let (lower, upper) = (randomKey(&generator), randomKey(&generator))
    return KeySpan(unchecked: lower, lower < upper ? upper : nil)
  }

  @Test(arguments: testSeeds(count: 8))
  func everyVersionAnswersAsItDidThen(seed: UInt64) throws {
    let (story, reader) = try story(seed)
    var generator = SeededGenerator(seed: seed &+ 1)
    for _ in 0..<100 {
      let version = UInt64.random(in: story.versions, using: &generator)
      let table = story.table(version)
      let point = try point(reader, version)
      let place: Comment = "seed \(seed), version \(version)"
      let limit = Int.random(in: 1...8, using: &generator)

      let keys = (0...3).map { _ in randomKey(&generator) }
      if table.isEmpty {
        #expect(throws: AuditError.noRoutes(at: point.version)) {
          try reader.routes(containing: keys, at: point)
        }
      } else {
        let expected = keys.compactMap { table.route(containing: $0) }
        #expect(try reader.routes(containing: keys, at: point) == expected, place)
      }
      let span = randomSpan(&generator)
      let listed = try all(try reader.routes(overlapping: span, at: point)) {
        try $0.next(limit: limit)
      }
      #expect(listed == table.routes(overlapping: span), place)
      let group = GroupID(UInt64.random(in: 1...3, using: &generator))
      let grouped = try all(try reader.routes(of: group, at: point)) { try $0.next(limit: limit) }
      #expect(grouped == table.routes(of: group), place)
      let ids = (0...3).map { _ in RouteID(UInt64.random(in: 0...60, using: &generator)) }
      #expect(
        try reader.routes(withIDs: ids, at: point)
          == Set(ids).sorted().compactMap { table.route(id: $0) }, place)

      let blamed = try all(try reader.blame(span, at: point)) { try $0.next(limit: limit) }
      #expect(blamed.map(\.route) == listed, place)
      for blamed in blamed {
        let version = blamed.route.version.rawValue
        guard version > story.versions.lowerBound else {
          #expect(blamed.stamp == nil, place)
          continue
        }
        #expect(blamed.stamp == AuditStamp(story.entry(version)), place)
        #expect(blamed.stamp?.time == blamed.route.changedAt, place)
      }
    }
  }

  @Test(arguments: testSeeds(count: 8))
  func aDifferenceIsThatOfTheTables(seed: UInt64) throws {
    let (story, reader) = try story(seed)
    var generator = SeededGenerator(seed: seed &+ 2)
    for _ in 0..<60 {
      let from = UInt64.random(in: story.versions, using: &generator)
      let to = UInt64.random(in: story.versions, using: &generator)
      let (old, new) = (story.table(from), story.table(to))
      let ids = Set((old.routes(overlapping: .all) + new.routes(overlapping: .all)).map(\.id))
      let expected = ids.sorted().map {
        ChangedRoute(id: $0, before: old.route(id: $0), after: new.route(id: $0))
      }.filter { $0.before != $0.after }
      var diff = try reader.diff(from: try point(reader, from), to: try point(reader, to))
      var found: [ChangedRoute] = []
      while let page = try diff.next(limit: 3) { found += page }
      #expect(found == expected, "seed \(seed), from \(from) to \(to)")
      let summary = diff.summary
      #expect(summary.added == UInt64(expected.filter { $0.before == nil }.count))
      #expect(summary.removed == UInt64(expected.filter { $0.after == nil }.count))
      for group in [1, 2].map({ GroupID($0) }) {
        let tally = summary.groups[group] ?? .init()
        let (before, after) = (old.routes(of: group).count, new.routes(of: group).count)
        #expect(
          UInt64(before) + tally.added + tally.joined
            == UInt64(after) + tally.removed + tally.left, "seed \(seed), from \(from) to \(to)")
      }
    }
  }

  @Test(arguments: testSeeds(count: 8))
  func historyTellsEachChangeOnce(seed: UInt64) throws {
    let (story, reader) = try story(seed)
    var generator = SeededGenerator(seed: seed &+ 3)
    for _ in 0..<20 {
      let version = UInt64.random(in: story.versions, using: &generator)
      guard version > 0 else { continue }
      let point = try point(reader, version)
      let place: Comment = "seed \(seed), version \(version)"
      func history(_ scope: HistoryScope) throws -> [AuditChange] {
        try all(try reader.history(scope, through: point)) { try $0.next(limit: 3) }
      }
      let versions = (story.versions.lowerBound + 1..<version + 1).reversed()

      let key = randomKey(&generator)
      let ofKey = try history(.key(key))
      let holders = versions.compactMap { version -> (UInt64, Route?, Route?)? in
        let before = story.table(version - 1).route(containing: key)
        let after = story.table(version).route(containing: key)
        return before == after ? nil : (version, before, after)
      }
      #expect(ofKey.map(\.stamp.version.rawValue) == holders.map(\.0), place)
      #expect(ofKey.map(\.before) == holders.map(\.1), place)
      #expect(ofKey.map(\.after) == holders.map(\.2), place)
      for change in ofKey {
        #expect(change.stamp == AuditStamp(story.entry(change.stamp.version.rawValue)), place)
        #expect(!change.kinds.isEmpty, place)
      }

      let span = randomSpan(&generator)
      let group = GroupID(UInt64.random(in: 1...2, using: &generator))
      for (scope, isIn) in [
        (HistoryScope.span(span), { (route: Route) in route.span.overlaps(span) }),
        (.group(group), { (route: Route) in route.group == group }),
      ] {
        let expected = versions.flatMap { version in
          story.changes(version).filter {
            $0.before.map(isIn) ?? false || $0.after.map(isIn) ?? false
          }
          .map { (version, $0) }
        }
        let found = try history(scope)
        #expect(found.map(\.stamp.version.rawValue) == expected.map(\.0), place)
        #expect(found.map(\.route) == expected.map(\.1.id), place)
        #expect(found.map(\.ownBefore) == expected.map(\.1.before), place)
        #expect(found.map(\.ownAfter) == expected.map(\.1.after), place)
        // Where a route came from and what became of it is told too.
        for change in found {
          #expect((change.before == nil) == change.kinds.contains(.bootstrap), place)
          #expect(change.after != nil, place)
        }
      }

      let id = RouteID(UInt64.random(in: 1...30, using: &generator))
      let expected = versions.flatMap { version in
        story.changes(version).filter { $0.id == id }.map { (version, $0) }
      }
      let isThere = story.table(version).route(id: id) != nil
      guard isThere || !expected.isEmpty else {
        #expect(throws: AuditError.noSuchRoute(id, at: point.version)) {
          try history(.route(id, ancestors: true))
        }
        continue
      }
      let own = try history(.route(id, ancestors: false))
      #expect(own.map(\.stamp.version.rawValue) == expected.map(\.0), place)
      #expect(own.map(\.ownBefore) == expected.map(\.1.before), place)
      #expect(own.map(\.ownAfter) == expected.map(\.1.after), place)
      let withAncestors = try history(.route(id, ancestors: true))
      #expect(
        withAncestors.map { "\($0.stamp.version) \($0.route)" }.sorted()
          == ancestry(of: id, through: version, in: story).sorted(), place)
      #expect(
        withAncestors.map(\.stamp.version) == withAncestors.map(\.stamp.version).sorted(by: >),
        place)
      var cursor = try reader.history(.route(id, ancestors: true), through: point)
      while try cursor.next() != nil {}
      if story.versions.lowerBound == 0 {
        #expect(withAncestors.last?.kinds == [.bootstrap], place)
        #expect(!cursor.isCut, place)
      } else {
        #expect(cursor.isCut, place)
      }
    }
  }

  /// The changes of a route and of all routes that it came from, as "version route".
  private func ancestry(
    of id: RouteID, through version: UInt64, in story: AuditStory
  ) -> [String] {
    var alive: Set<RouteID> = story.table(version).route(id: id) == nil ? [] : [id]
    var told: [String] = []
    for version in (story.versions.lowerBound + 1..<version + 1).reversed() {
      let changed = story.changes(version)
      let events = story.entry(version).events
      if changed.contains(where: { $0.id == id && $0.after == nil }) {
        told.append("\(version) \(id)")
        alive.insert(id)
        continue
      }
      var before = alive
      for event in events.reversed() {
        switch event {
        case .routeSplit(let route, _, _, let newRoute):
          if before.remove(newRoute) != nil { before.insert(route) }
        case .routesMerged(let route, _, _, let absorbed):
          if before.contains(route) { before.insert(absorbed) }
        default: break
        }
      }
      for change in changed
      where alive.contains(change.id) || change.after == nil && before.contains(change.id) {
        told.append("\(version) \(change.id)")
      }
      alive = before
    }
    return told
  }

  @Test(arguments: testSeeds(count: 8))
  func theLogIsFiltered(seed: UInt64) throws {
    let (story, reader) = try story(seed)
    var generator = SeededGenerator(seed: seed &+ 4)
    for _ in 0..<60 {
      var bounds = LogBounds()
      var filter = LogFilter()
      var expected = story.entries
      func some() -> LogEntry {
        story.entries[Int.random(in: 0..<story.entries.count, using: &generator)]
      }
      if generator.oneIn(3) {
        let position = some().position
        bounds.firstPosition = position
        expected.removeAll { $0.position < position }
      }
      if generator.oneIn(3) {
        let position = some().position
        bounds.lastPosition = position
        expected.removeAll { $0.position > position }
      }
      if generator.oneIn(3) {
        let version = some().version
        bounds.firstVersion = version
        expected.removeAll { $0.version < version }
      }
      if generator.oneIn(3) {
        let version = some().version
        bounds.lastVersion = version
        expected.removeAll { $0.version > version }
      }
      if generator.oneIn(3) {
        let time = HybridTimestamp(
          some().time.rawValue + UInt64.random(in: 0...1, using: &generator))
        bounds.since = time
        expected.removeAll { $0.time < time }
      }
      if generator.oneIn(3) {
        let time = HybridTimestamp(
          some().time.rawValue - UInt64.random(in: 0...1, using: &generator))
        bounds.until = time
        expected.removeAll { $0.time > time }
      }
      if generator.oneIn(3) {
        filter.actor = "ann"
        expected.removeAll { $0.actor != "ann" }
      }
      if generator.oneIn(3) {
        filter.kinds = [.merge, .state]
        expected.removeAll {
          !$0.events.contains { [.merge, .state].contains(EventKind($0)) }
        }
      }
      if generator.oneIn(3) {
        let span = randomSpan(&generator)
        filter.span = span
        expected.removeAll { entry in
          !entry.changesRoutes
            || !story.changes(entry.version.rawValue).contains {
              $0.before?.span.overlaps(span) ?? false || $0.after?.span.overlaps(span) ?? false
            }
        }
      }
      let newestFirst = generator.oneIn(2)
      let found = try all(try reader.entries(in: bounds, filter, newestFirst: newestFirst)) {
        try $0.next()
      }
      #expect(
        found.map(\.entry) == (newestFirst ? expected.reversed() : expected),
        "seed \(seed), \(bounds), \(filter)")
    }
  }

  @Test(arguments: [1, 3] as [UInt64]) func timesAndVersionsAreFound(seed: UInt64) throws {
    let (story, reader) = try story(seed)
    let retained = RetainedVersions(
      oldest: CatalogVersion(story.versions.lowerBound),
      newest: CatalogVersion(story.versions.upperBound),
      since: story.versions.lowerBound > 0 ? story.states[0].lastTime : nil)
    #expect(try reader.retained() == retained)
    for entry in story.entries where !entry.changesRoutes {
      #expect(try reader.resolve(.time(entry.time)).version == entry.version)
    }
    for entry in story.entries where entry.changesRoutes {
      let point = AuditPoint(version: entry.version, position: entry.position, time: entry.time)
      #expect(try reader.resolve(.time(entry.time)) == point)
      #expect(try reader.resolve(.version(entry.version)) == point)
      let before = HybridTimestamp(entry.time.rawValue - 1)
      #expect(
        try reader.resolve(.time(before)).version.rawValue == entry.version.rawValue - 1)
    }
    #expect(try reader.resolve(.newest).version == retained.newest)
    #expect(try reader.resolve(.time(HybridTimestamp(.max))).version == retained.newest)
    let future = CatalogVersion(retained.newest.rawValue + 1)
    #expect(throws: AuditError.versionInFuture(future, retained)) {
      try reader.resolve(.version(future))
    }
    guard story.versions.lowerBound > 0 else {
      #expect(try reader.resolve(.time(.zero)).version == .zero)
      return
    }
    #expect(throws: AuditError.versionNotRetained(CatalogVersion(3), retained)) {
      try reader.resolve(.version(CatalogVersion(3)))
    }
    #expect(throws: AuditError.timeNotRetained(HybridTimestamp(5), retained)) {
      try reader.resolve(.time(HybridTimestamp(5)))
    }
    #expect(
      AuditError.versionNotRetained(CatalogVersion(3), retained).description.contains(
        "\(retained.oldest) to \(retained.newest)"))
  }

  @Test func aReaderFollowsALogThatGrowsAndOneThatIsReplaced() throws {
    let folder = TemporaryFolder()
    let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
    let (entries, state) = try makeEntries(40)
    try log.append(Array(entries[..<20]))
    let reader = AuditReader(log, replayInterval: 5)
    #expect(try reader.resolve(.newest).version == CatalogVersion(20))
    let early = try reader.resolve(.version(CatalogVersion(18)))
    #expect(try reader.routes(containing: [key("x")], at: early).count == 1)
    try log.append(Array(entries[20...]))
    let late = try reader.resolve(.newest)
    #expect(late.version == state.version)
    #expect(
      try reader.routes(containing: [key("x")], at: late)
        == [state.routes.route(containing: key("x"))].compactMap { $0 })
    try log.install(base: state)
    #expect(throws: AuditError.self) { try reader.resolve(.version(CatalogVersion(18))) }
    #expect(
      try all(try reader.routes(overlapping: .all, at: try reader.resolve(.newest))) {
        try $0.next()
      } == state.routes.routes(overlapping: .all))
  }

  @Test func aChangedEntryIsNotBelieved() throws {
    let folder = TemporaryFolder()
    let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
    let (entries, _) = try makeEntries(20)
    try log.append(entries)
    var changed = entries[9].entry
    changed.events = [
      .routeSplit(
        route: RouteID(9), start: key(padded(8)), boundary: key("zz"), newRoute: RouteID(10))
    ]
    let forged = try EncodedEntry(changed)
    try log.environment.write { transaction throws(StoreError) in
      try forged.bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: UInt64(10), in: log.tables.entries)
      }
    }
    let reader = AuditReader(log)
    for version in [10, 11, 15] {
      #expect(throws: AuditError.self, "version \(version)") {
        try reader.routes(
          containing: [key("zzz")], at: try point(reader, UInt64(version)))
      }
    }
    #expect(try reader.routes(containing: [key("zzz")], at: try point(reader, 9)).count == 1)
  }

  @Test func noEntryIsReadForARouteThatALaterTableHasAsItWas() throws {
    let folder = TemporaryFolder()
    let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
    let (entries, state) = try makeEntries(20)
    try log.append(entries)
    var writer = CheckpointWriter(
      after: StartingPoint(state: CatalogState(catalog: testCatalog)), in: nil
    ) { () throws(StoreError) in
      try CheckpointStore.open(folder: folder.path, mode: .readWrite, catalog: testCatalog)
    }
    _ = try writer.checkpoint(state)
    let checkpoints = writer.store
    // Whoever reads this entry says so.
    try log.environment.write { transaction throws(StoreError) in
      try [UInt8(1)].withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: UInt64(10), in: log.tables.entries)
      }
    }
    for reader in [
      AuditReader(log, checkpoints: { checkpoints }),
      AuditReader(
        log, checkpoints: { nil }, live: LiveCatalog(current: { state }, table: { _ in nil })),
    ] {
      let point = try point(reader, 15)
      let old = state.routes.routes(overlapping: .all).filter { $0.version <= point.version }
      let (first, last) = (try #require(old.first), try #require(old.last))
      let keys = old.map(\.span.lower)
      #expect(old.count > 10)
      #expect(try reader.routes(containing: keys, at: point) == old)
      #expect(try reader.routes(withIDs: old.map(\.id), at: point) == old.sorted { $0.id < $1.id })
      let span = KeySpan(unchecked: first.span.lower, last.span.upper)
      #expect(
        try all(try reader.routes(overlapping: span, at: point)) { try $0.next(limit: 3) } == old)
      #expect(throws: AuditError.self) { try reader.routes(containing: [key("zzz")], at: point) }
      #expect(throws: AuditError.self) {
        try reader.routes(withIDs: state.routes.routes(overlapping: .all).map(\.id), at: point)
      }
    }
  }

  @Test(arguments: testSeeds(count: 6))
  func damagedAndDroppedCheckpointsAreDoneWithout(seed: UInt64) throws {
    var story = try AuditStory(seed: seed, count: 100)
    try story.makeCheckpoints(seed: seed, interval: 10)
    let store = try #require(story.checkpoints)
    let reader = reader(story)
    var generator = SeededGenerator(seed: seed &+ 5)
    let newest = try reader.resolve(.newest)
    var listing = try reader.routes(overlapping: .all, at: newest)
    var listed = try listing.next(limit: 2) ?? []
    for root in try store.roots().reversed() {
      if generator.oneIn(2) {
        _ = try store.dropRoot(root.version)
      } else {
        try store.environment.write { transaction throws(StoreError) in
          for id in root.nodes {
            try [UInt8(1), 2, 3].withRawBytes { (bytes) throws(StoreError) in
              try transaction.put(bytes, for: id, in: store.tables.nodes)
            }
          }
        }
      }
      if listed.count < 4 { listed += try listing.next(limit: 1) ?? [] }
      for _ in 0..<4 {
        let version = UInt64.random(
          in: root.version.rawValue...newest.version.rawValue, using: &generator)
        let (point, key) = (try point(reader, version), randomKey(&generator))
        let table = story.table(version)
        #expect(
          try reader.routes(containing: [key], at: point)
            == [table.route(containing: key)].compactMap { $0 }, "seed \(seed)")
        #expect(
          try all(try reader.routes(overlapping: .all, at: point)) { try $0.next(limit: 7) }
            == table.routes(overlapping: .all), "seed \(seed)")
        #expect(
          try all(try reader.routes(of: GroupID(1), at: point)) { try $0.next(limit: 7) }
            == table.routes(of: GroupID(1)), "seed \(seed)")
      }
    }
    while let page = try listing.next(limit: 3) { listed += page }
    #expect(
      listed == story.table(newest.version.rawValue).routes(overlapping: .all), "seed \(seed)")
  }
}
