import Catalog
import StateMachines
import TestSupport
import Testing

@testable import Replay

@Suite struct BaseStateTests {
  let folder = TemporaryFolder()

  @Test func aLogGoesOnAfterABase() throws {
    let (entries, state) = try makeEntries(30)
    let base = try stateAfter(20, of: entries)
    do {
      let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
      try log.append(Array(entries[..<5]))
      try log.install(base: base)
      #expect(try log.firstPosition() == LogPosition(21))
      #expect(try log.lastPosition() == LogPosition(20))
      #expect(try log.entry(of: commandID(3)) == nil)
      #expect(try Replayer(log).replay().digest == base.digest)
    }
    let log = try EventLog.open(folder: folder.path, mode: .readWrite)
    #expect(try log.tail().hash == base.lastHash)
    #expect(throws: StoreError.gap(expected: LogPosition(21), found: LogPosition(20))) {
      try log.append([entries[19]])
    }
    try log.append(Array(entries[20...]))
    #expect(throws: StoreError.notRetained(LogPosition(20), first: LogPosition(21))) {
      try log.entries(from: LogPosition(20), maxCount: 1)
    }
    #expect(try log.entries(from: LogPosition(21), maxCount: 99) == Array(entries[20...]))
    #expect(try log.position(at: entries[3].entry.time) == nil)
    #expect(try log.position(at: entries[25].entry.time) == LogPosition(26))
    let replayed = try Replayer(log).replay()
    #expect(replayed.digest == state.digest)
    #expect(replayed.lastHash == state.lastHash)
    let summary = try Verifier(log).verify()
    #expect(summary.first == LogPosition(21))
    #expect(summary.last == LogPosition(30))
    #expect(summary.entryCount == 10)
  }

  @Test func aBaseOfManyChunksComesBack() throws {
    var state = CatalogState(catalog: testCatalog)
    let seeds = (0..<6_000).map { number in
      RouteSeedRequest(
        start: number == 0 ? .least : key("a key of some length " + padded(UInt64(number))),
        group: GroupID(UInt64(number % 7)))
    }
    _ = try state.propose(command(1, .bootstrap(seeds)), time: state.lastTime.next)
    var options = LogOptions()
    options.initialMapSize = 128 << 10
    let log = try EventLog.create(folder: folder.path, catalog: testCatalog, options: options)
    try log.install(base: state)
    let base = try #require(try log.base())
    #expect(base.digest == state.digest)
    #expect(base.routes.routes(overlapping: .all) == state.routes.routes(overlapping: .all))
    #expect(base.lastTime == state.lastTime)
    #expect(base.routes.nextRouteID == state.routes.nextRouteID)
  }

  @Test func anotherCatalogsStateIsRefused() throws {
    let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
    let other = catalogID("another catalog1")
    #expect(throws: StoreError.otherCatalog(expected: testCatalog, found: other)) {
      try log.install(base: CatalogState(catalog: other))
    }
  }

  /// Bytes that are no chunk are refused, whatever they are.
  @Test(arguments: testSeeds(count: 200))
  func hostileChunksDoNotTrap(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let state = try makeEntries(12).state
    var bytes: [UInt8] = []
    for var route in state.routes.routes(overlapping: .all) {
      if generator.oneIn(3) { route.allowedRegions = [try Region("osaka"), try Region("tokyo")] }
      RouteChunk.append(route, to: &bytes)
    }
    generator.damage(&bytes, times: 1...4)
    var routes: [Route] = []
    do {
      try bytes.withUnsafeBytes { try RouteChunk.decode($0, into: &routes) }
    } catch is RouteChunk.Malformed {
      return
    }
    var again: [UInt8] = []
    for route in routes { RouteChunk.append(route, to: &again) }
    #expect(again == bytes, "what is accepted has one form; seed \(seed)")
  }
}
