import Catalog
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// What a watcher is told from the log, against the states that a replay goes through.
@Suite struct WatchingTests {
  /// A story, sometimes with a base, with or without checkpoints.
  private func story(_ seed: UInt64) throws -> (AuditStory, AuditReader) {
    var story = try AuditStory(seed: seed, count: 120, before: seed.isMultiple(of: 3) ? 30 : 0)
    if seed.isMultiple(of: 2) { try story.makeCheckpoints(seed: seed, interval: 12) }
    let checkpoints = story.checkpoints
    let reader = AuditReader(
      story.log, checkpoints: { checkpoints }, replayInterval: 1 + seed % 40)
    return (story, reader)
  }

  private func randomFilter(_ generator: inout SeededGenerator) -> WatchFilter {
    switch Int.random(in: 0..<3, using: &generator) {
    case 0: return .all
    case 1: return .group(GroupID(.random(in: 1...3, using: &generator)))
    default:
      let keys = (0..<2).map { _ in
        Key.random(length: 0...3, alphabet: 0x61...0x64, using: &generator)
      }.sorted()
      return .span(KeySpan(unchecked: keys[0], keys[0] < keys[1] ? keys[1] : nil))
    }
  }

  @Test(arguments: testSeeds(count: 8))
  func theLogTellsWhatEachVersionChanged(seed: UInt64) throws {
    let (story, reader) = try story(seed)
    var generator = SeededGenerator(seed: seed &+ 1)
    for _ in 0..<12 {
      var version = UInt64.random(in: story.versions, using: &generator)
      let last = UInt64.random(in: version...story.versions.upperBound, using: &generator)
      let filter = randomFilter(&generator)
      let maxBytes = Int.random(in: 1...4000, using: &generator)
      let place: Comment = "seed \(seed), from \(version) to \(last), \(filter)"
      // A mirror of what the filter lets through.
      var mirror = Dictionary(
        uniqueKeysWithValues: story.table(version).routes(overlapping: .all)
          .filter(filter.contains).map { ($0.id, $0) })
      while version < last {
        let page = try #require(
          try reader.changes(
            after: CatalogVersion(version), through: CatalogVersion(last), maxBytes: maxBytes
          ).told, place)
        try #require(!page.isEmpty, place)
        for change in page {
          version += 1
          #expect(change.version == CatalogVersion(version), place)
          #expect(change.routes == story.changes(version), place)
          if let delta = change.delta(through: filter) {
            for id in delta.removed { #expect(mirror.removeValue(forKey: id) != nil, place) }
            for route in delta.upserted { mirror[route.id] = route }
          }
          let expected = story.table(version).routes(overlapping: .all).filter(filter.contains)
          #expect(mirror.values.sorted { $0.span.lower < $1.span.lower } == expected, place)
        }
      }
      #expect(version == last, place)
    }
  }

  @Test func aLogThatBeginsLaterDoesNotLeadOn() throws {
    let story = try AuditStory(seed: 3, count: 40, before: 30)
    let reader = AuditReader(story.log)
    let first = story.versions.lowerBound
    #expect(try reader.leadsOn(from: CatalogVersion(first)))
    #expect(try !reader.leadsOn(from: CatalogVersion(first - 1)))
    #expect(
      try reader.changes(
        after: CatalogVersion(first - 1), through: CatalogVersion(first + 5), maxBytes: 1000
      ).told == nil)
    let newest = CatalogVersion(story.versions.upperBound)
    #expect(try reader.leadsOn(from: newest))
    #expect(try reader.changes(after: newest, through: newest.next, maxBytes: 1000).told == [])
  }

  /// It is named with its size; what comes after it is told.
  @Test func aVersionThatIsTooLargeToBeToldIsNamed() async throws {
    let folder = TemporaryFolder()
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, wallMilliseconds: TestClock().read)
    let filler = [UInt8](repeating: 0x61, count: 4000)
    let seeds = (0..<(AuditReader.largestWatchedEntry / filler.count + 2)).map { number in
      let start = Key(unchecked: [UInt8(number >> 8), UInt8(number & 0xFF)] + filler)
      return RouteSeedRequest(start: number == 0 ? .least : start, group: GroupID(1))
    }
    _ = try await store.submit(command(1, .bootstrap(seeds)))
    _ = try await store.submit(command(2, split("a")))
    let reader = AuditReader(try EventLog.open(folder: folder.path, mode: .readOnly))
    let first = try reader.changes(after: .zero, through: CatalogVersion(2), maxBytes: 1000)
    guard case .tooLarge(CatalogVersion(1), let byteCount) = first else {
      Issue.record("a version of more than \(AuditReader.largestWatchedEntry) bytes was told")
      return
    }
    #expect(byteCount > AuditReader.largestWatchedEntry)
    let rest = try reader.changes(
      after: CatalogVersion(1), through: CatalogVersion(2), maxBytes: 1000)
    #expect(rest.told?.map(\.version) == [CatalogVersion(2)])
    store.close()
  }

  /// Damage is not passed on as if it had happened.
  @Test func aDamagedEntryIsNotTold() throws {
    var story = try AuditStory(seed: 5, count: 60)
    try story.makeCheckpoints(seed: 5, interval: 10)
    let version = story.versions.lowerBound + 30
    let position = story.entry(version).position
    try story.log.environment.write { transaction throws(StoreError) in
      let bytes = try transaction.value(of: position.rawValue, in: story.log.tables.entries) {
        [UInt8]($0)
      }
      guard var bytes else { return }
      // In the time, which makes it another entry that can be read.
      bytes[48] ^= 1
      try bytes.withRawBytes { (bytes) throws(StoreError) in
        try transaction.put(bytes, for: position.rawValue, in: story.log.tables.entries)
      }
    }
    let checkpoints = story.checkpoints
    let reader = AuditReader(story.log, checkpoints: { checkpoints })
    #expect(throws: AuditError.self) {
      try reader.changes(
        after: CatalogVersion(version - 1), through: CatalogVersion(version + 5), maxBytes: 100_000)
    }
  }

  @Test(arguments: testSeeds(count: 4))
  func memoryAndLogTellTheSame(seed: UInt64) async throws {
    let folder = TemporaryFolder()
    let clock = TestClock()
    var options = StoreOptions()
    options.historyCapacity = 40
    options.commitsToCheckpoints = false
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: options, wallMilliseconds: clock.read)
    var generator = SeededGenerator(seed: seed)
    var number: UInt64 = 0
    while store.current.version < CatalogVersion(30) {
      number += 1
      let change = AuditStory.change(of: store.current.routes, &generator)
      _ = try? await store.submit(command(number, change))
    }
    let reader = AuditReader(try EventLog.open(folder: folder.path, mode: .readOnly))
    let told = try #require(
      try reader.changes(after: .zero, through: CatalogVersion(30), maxBytes: .max).told)
    #expect(told.count == 30)
    for change in told {
      #expect(store.change(to: change.version) == change, "seed \(seed)")
      let delta = try #require(change.delta(through: .all))
      #expect(delta == store.delta(to: change.version), "seed \(seed)")
    }
    store.close()
  }
}

extension WatchedChanges {
  /// What was told; nil where nothing can be.
  fileprivate var told: [VersionChange]? {
    if case .changes(let changes) = self { changes } else { nil }
  }
}
