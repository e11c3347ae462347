import CadastreClient
import Catalog
import EtcdSupport
import GRPCCore
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// What a watch promises, over histories with reconnects, restarts, slow readers and trimming.
@Suite(.oneEtcd, .timeLimit(.minutes(5))) struct WatchPropertyTests {
  private static let versionCount: UInt64 = 80

  /// What is known of the history so far, and whether more will come.
  private struct History: Sendable {
    var truth = WatchTruth()
    var isOver = false
  }

  /// Thrown to end a stream.
  private struct Reconnect: Error {}

  /// Watches the node at `address`, through restarts, until it has all of a history that is over.
  private func watch(
    _ address: NodeAddress, _ filter: WatchFilter, _ history: Shared<History>, seed: UInt64
  ) async throws -> WatchRecord {
    let record = Shared(WatchRecord(filter: filter))
    let generator = Shared(SeededGenerator(seed: seed))
    @Sendable func oneIn(_ count: Int) -> Bool { generator.change { $0.oneIn(count) } }
    // Some read slowly, so that what they lack is no longer in memory.
    let isSlow = oneIn(2)
    @Sendable func isDone() -> Bool {
      let history = history.value
      return history.isOver && record.value.version == history.truth.newest
    }
    let client = try NodeClient(address)
    let connecting = Task { try await client.run() }
    defer { connecting.cancel() }
    while !isDone() {
      let from = record.value.version
      record.change { $0.streams.append(WatchRecord.Stream(from: from)) }
      do {
        try await client.watch(from: from, filter: filter, progress: .milliseconds(10)) { event in
          record.change { $0.streams[$0.streams.count - 1].events.append(event) }
          if isDone() || oneIn(30) { throw Reconnect() }
          if isSlow { try await Task.sleep(for: .milliseconds(3)) }
        }
      } catch {
        // Cut off, or the node is down.
        try Task.checkCancellation()
      }
      // Now and then it is away for so long that it may come back to a log that begins later.
      if !history.value.isOver, oneIn(4) {
        let start = history.value.truth.newest.rawValue
        try await until { history.value.isOver || history.value.truth.newest.rawValue > start + 25 }
      } else {
        try await Task.sleep(for: .milliseconds(2))
      }
    }
    return record.value
  }

  private func run(seed: UInt64, on log: LogKind) async throws -> ([WatchRecord], WatchTruth) {
    let folder = TemporaryFolder()
    var generator = SeededGenerator(seed: seed)
    let configure: @Sendable (inout NodeConfiguration) -> Void = {
      var policy = RetentionPolicy()
      policy.log = .zero
      $0.retention = policy
      $0.retentionInterval = .milliseconds(100)
      $0.store.checkpoints.versions = 15
      $0.store.historyCapacity = 4
      $0.limits.messageByteCount = 300
      $0.gracePeriod = .milliseconds(200)
    }
    var node = try await TestNode.leader(folder, port: quietPort(), on: log, configure)
    let (address, path) = (node.address, node.folder)
    let history = Shared(History())
    let filters: [WatchFilter] = [
      .all, .all, .group(GroupID(2)), .span(KeySpan(unchecked: Key("g"), Key("p"))),
    ]
    let records = try await withThrowingTaskGroup(of: WatchRecord.self) { group in
      for (index, filter) in filters.enumerated() {
        group.addTask {
          try await watch(address, filter, history, seed: seed &* 100 + UInt64(index))
        }
      }
      try await node.client.submit(.test(bootstrap("g", "p")))
      history.change {
        $0.truth.tables.append(node.core.store.current.routes.routes(overlapping: .all))
      }
      var changes = ChangeMaker(generator: SeededGenerator(seed: seed))
      while node.core.store.current.version.rawValue < Self.versionCount {
        let before = node.core.store.current.version
        try await node.client.submit(.test(changes.next(node.core.store.current.routes)))
        let state = node.core.store.current
        if state.version > before {
          history.change { $0.truth.tables.append(state.routes.routes(overlapping: .all)) }
        }
        if generator.oneIn(30) {
          try await node.stop()
          node = try await TestNode.leading(
            node.role, folder: path, port: address.port, configure)
        }
        if generator.oneIn(4) { try await Task.sleep(for: .milliseconds(10)) }
      }
      history.change { $0.isOver = true }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    try await node.stop()
    return (records, history.value.truth)
  }

  @Test(arguments: testSeeds(count: 3), LogKind.allCases)
  func everyWatchKeepsItsPromises(seed: UInt64, log: LogKind) async throws {
    let (records, truth) = try await run(seed: seed, on: log)
    for record in records {
      #expect(record.version == truth.newest, "seed \(seed)")
      for property in WatchProperty.allCases {
        let violation = property.violation(in: record, truth)
        #expect(violation == nil, "seed \(seed): \(property.rawValue), \(record.filter)")
      }
    }
    #expect(records.contains { $0.streams.count > 2 }, "seed \(seed): nobody reconnected")
  }

  /// A validator that finds nothing wrong with anything is none.
  @Test func theValidatorsFindWhatIsWrong() throws {
    let (truth, record) = Self.sound()
    for property in WatchProperty.allCases {
      #expect(property.violation(in: record, truth) == nil, "\(property.rawValue)")
    }
    func expect(_ property: WatchProperty, _ change: (inout WatchRecord) throws -> Void) rethrows {
      var broken = record
      try change(&broken)
      #expect(property.violation(in: broken, truth) != nil, "\(property.rawValue)")
    }
    // The events of the first stream: started, 2, 3, bookmark 3, 4; of the second: started, 5, 6.
    expect(.filtered) { $0.filter = .group(GroupID(7)) }
    expect(.bookmarkable) { $0.streams[0].events.swapAt(2, 3) }
    expect(.bookmarkable) { $0.streams[0].events.swapAt(3, 1) }
    expect(.ordered) { $0.streams[0].events.swapAt(1, 2) }
    expect(.unique) { $0.streams[1].events.insert($0.streams[0].events[4], at: 1) }
    expect(.reliable) { $0.streams[0].events.remove(at: 2) }
    expect(.reliable) { $0.streams[1].events.remove(at: 1) }
    expect(.resumable) { $0.streams[1].events.remove(at: 1) }
    expect(.resumable) { $0.streams[0].events.removeLast() }
    expect(.atomic) { record in
      guard case .delta(var delta) = record.streams[0].events[1] else { return }
      delta.upserted.removeFirst()
      record.streams[0].events[1] = .delta(delta)
    }
  }

  /// A catalog of six versions, and a watcher from version 1 that heard all, in two streams.
  private static func sound() -> (WatchTruth, WatchRecord) {
    var truth = WatchTruth()
    for count in UInt64(1)...6 {
      let keys = (0..<count).map { Key($0 == 0 ? "" : "k\($0)") }
      truth.tables.append(
        keys.indices.map { index in
          Route(
            id: RouteID(UInt64(index) + 1),
            span: KeySpan(
              unchecked: keys[index], index + 1 < keys.count ? keys[index + 1] : nil),
            group: GroupID(1), allowedRegions: [], version: CatalogVersion(1),
            changedAt: HybridTimestamp(1))
        })
    }
    func delta(_ version: UInt64) -> [WatchEvent] {
      truth.delta(to: CatalogVersion(version), .all).map { [.delta($0)] } ?? []
    }
    func started(_ version: UInt64) -> WatchEvent {
      .started(testCatalog, CatalogVersion(version), reset: nil)
    }
    let bookmark = WatchEvent.progress(
      ReadStamp(version: CatalogVersion(3), servedAtMilliseconds: 0, staleness: nil))
    let first = WatchRecord.Stream(
      from: CatalogVersion(1),
      events: [started(1)] + delta(2) + delta(3) + [bookmark] + delta(4))
    let second = WatchRecord.Stream(
      from: CatalogVersion(4), events: [started(4)] + delta(5) + delta(6))
    return (truth, WatchRecord(filter: .all, streams: [first, second]))
  }
}
