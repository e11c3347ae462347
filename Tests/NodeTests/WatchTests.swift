import CadastreClient
import CadastreProtocol
import Catalog
import EtcdSupport
import Foundation
import GRPCCore
import Replay
import StateMachines
import SwiftProtobuf
import Synchronization
import TestSupport
import Testing

@testable import Node

@Suite(.oneEtcd, .timeLimit(.minutes(5))) struct WatchTests {
  /// Thrown to end a watch that saw enough.
  private struct Enough: Error {}

  @Test(arguments: LogKind.allCases) func tellsEachVersionOnceInOrder(log: LogKind) async throws {
    for seed in testSeeds(count: 3) {
      try await withLeader(on: log) { node in
        try await node.client.submit(.test(bootstrap("g", "p")))
        let last = CatalogVersion(60)
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask {
            var changes = ChangeMaker(generator: SeededGenerator(seed: seed))
            while node.core.store.current.version < last {
              try await node.client.submit(
                .test(changes.next(node.core.store.current.routes)))
            }
          }
          for number in 0..<6 {
            group.addTask {
              var generator = SeededGenerator(seed: seed &* 100 &+ UInt64(number))
              let start = CatalogVersion(.random(in: 0...30, using: &generator))
              try await reach(node, start)
              let mirror = try await Mirror(at: start, of: node)
              try await mirror.follow(node, until: last)
              #expect(mirror.routes == node.routes(at: last), "seed \(seed)")
              #expect(mirror.resets == 0, "seed \(seed)")
            }
          }
          try await group.waitForAll()
        }
      }
    }
  }

  @Test(arguments: LogKind.allCases)
  func aWatcherWithoutAVersionGetsASnapshot(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.limits.messageByteCount = 100
    } _: { node in
      try await node.client.submit(.test(bootstrap("b", "c", "d", "e", "f", "g", "h")))
      let mirror = Mirror()
      async let following: Void = mirror.follow(node, until: CatalogVersion(3))
      try await until { mirror.version == CatalogVersion(1) }
      for text in ["x", "y"] { try await node.client.submit(.test(split(text))) }
      try await following
      #expect(mirror.resets == 1)
      #expect(mirror.routes == node.routes(at: CatalogVersion(3)))
      #expect(mirror.snapshotChunks > 3)
    }
  }

  /// What is no longer in memory is told from the log, and what is not there is not guessed.
  @Test(arguments: LogKind.allCases) func anOldVersionIsToldFromTheLog(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.store.historyCapacity = 3
    } _: { node in
      try await node.client.submit(.test(oneRoute))
      let first = try await Mirror(at: CatalogVersion(1), of: node)
      for text in ["a", "b", "c", "d", "e"] { try await node.client.submit(.test(split(text))) }
      let mirror = try await Mirror(at: CatalogVersion(4), of: node)
      try await mirror.follow(node, until: CatalogVersion(6))
      #expect(node.core.watchersReadLog.load(ordering: .relaxed) == 0)
      for late in [first, Mirror(version: .zero)] {
        try await late.follow(node, until: CatalogVersion(6))
        #expect(late.resets == 0)
        #expect(late.routes == node.routes(at: CatalogVersion(6)))
      }
      #expect(node.core.watchersReadLog.load(ordering: .relaxed) > 0)
    }
  }

  /// Watchers that read the log take turns; nobody else waits for them.
  @Test(arguments: LogKind.allCases)
  func watchersAtTheLogWaitForTheirTurn(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.store.historyCapacity = 2
      $0.limits.watchersAtLogAtOnce = 1
      $0.limits.messageByteCount = 400
    } _: { node in
      try await node.client.submit(.test(oneRoute))
      var late: [Mirror] = []
      for _ in 0..<5 { late.append(try await Mirror(at: CatalogVersion(1), of: node)) }
      for number in 0..<30 { try await node.client.submit(.test(split("key \(number)"))) }
      let last = CatalogVersion(41)
      let gate = Gate()
      try await withThrowingTaskGroup(of: Void.self) { group in
        // Somebody has the one turn.
        group.addTask { try await node.core.watchersAtLog.withTurn { await gate.wait() } }
        let mirrors = late
        for mirror in mirrors { group.addTask { try await mirror.follow(node, until: last) } }
        try await until { node.core.watchersAtLog.waiting >= mirrors.count }
        let mirror = try await Mirror(at: node.core.store.current.version, of: node)
        async let following: Void = mirror.follow(node, until: last)
        for number in 30..<40 { try await node.client.submit(.test(split("key \(number)"))) }
        try await following
        #expect(mirrors.allSatisfy { $0.version == CatalogVersion(1) })
        gate.open()
        try await group.waitForAll()
      }
      for mirror in late {
        #expect(mirror.resets == 0)
        #expect(mirror.routes == node.routes(at: last))
      }
      #expect(node.core.watchersAtLog.waiting == 0)
    }
  }

  /// The reason names the version and its size.
  @Test(arguments: LogKind.allCases)
  func aVersionThatIsTooLargeToBeToldIsAReset(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.store.historyCapacity = 1
    } _: { node in
      let filler = [UInt8](repeating: 0x61, count: 4000)
      let seeds = (0..<4300).map { number in
        let start = Key(unchecked: [UInt8(number >> 8), UInt8(number & 0xFF)] + filler)
        return RouteSeedRequest(start: number == 0 ? .least : start, group: GroupID(1))
      }
      _ = try await node.core.store.submit(.test(.bootstrap(seeds)))
      for text in ["a", "b"] { try await node.client.submit(.test(split(text))) }
      let reason = Shared<String?>(nil)
      _ = await refusal {
        try await node.client.watch(from: .zero, filter: .group(GroupID(9))) { event in
          guard case .started(_, _, reset: .some(let text)) = event else { return }
          reason.change { $0 = text }
          throw Enough()
        }
      }
      #expect(reason.value?.hasPrefix("version 1 changed 17,") == true, "\(reason.value ?? "")")
    }
  }

  @Test(arguments: LogKind.allCases)
  func aVersionFromBeforeTheLogIsAReset(log: LogKind) async throws {
    let folder = TemporaryFolder()
    let first = try await TestNode.leader(folder, on: log)
    try await first.client.submit(.test(bootstrap("g", "p")))
    try await first.client.submit(.test(split("h")))
    let state = first.core.store.current
    try await first.stop()
    let path = folder.appending("trimmed")
    let trimmed = try EventLog.create(folder: path, catalog: state.catalog)
    try trimmed.install(base: state)
    trimmed.releaseForWriting()
    try await withNode(try await TestNode.leading(log.role(), folder: path)) { node in
      try await node.client.submit(.test(split("i")))
      let late = Mirror(version: CatalogVersion(1))
      try await late.follow(node, until: CatalogVersion(3))
      #expect(late.resets == 1)
      #expect(late.routes == node.routes(at: CatalogVersion(3)))
    }
  }

  /// Many small versions travel in one message.
  @Test(arguments: LogKind.allCases) func smallVersionsTravelTogether(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(oneRoute))
      for number in 0..<100 { try await node.client.submit(.test(split("key \(number)"))) }
      let request = Wire.WatchRequest.with { $0.fromVersion = 1 }
      let sizes = Shared<[Int]>([])
      _ = await refusal {
        try await node.client.watches.watch(
          request, options: node.client.options(nil)
        ) { response in
          for try await message in response.messages {
            guard case .deltas(let batch) = message.kind else { continue }
            sizes.change { $0.append(batch.deltas.count) }
            if batch.deltas.last?.version == 101 { throw Enough() }
          }
        }
      }
      #expect(sizes.value == [100])
    }
  }

  @Test(arguments: LogKind.allCases)
  func aWatchOfAGroupHearsOfNothingElse(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.limits.messageByteCount = 200
    } _: { node in
      try await node.client.submit(.test(bootstrap("g", "p")))
      let heard = Shared<[RouteDelta]>([])
      let bookmarks = Shared<[CatalogVersion]>([])
      let snapshot = Shared<[Route]>([])
      async let ended = refusal {
        try await node.client.watch(
          from: nil, filter: .group(GroupID(2)), progress: .milliseconds(10)
        ) { event in
          switch event {
          case .snapshot(_, let routes, _): snapshot.change { $0 += routes }
          case .delta(let delta): heard.change { $0.append(delta) }
          case .progress(let stamp): bookmarks.change { $0.append(stamp.version) }
          case .started, .digest: break
          }
          if bookmarks.value.contains(CatalogVersion(6)) { throw Enough() }
        }
      }
      try await until { !bookmarks.value.isEmpty }
      #expect(snapshot.value.map(\.id) == [RouteID(2)])
      try await node.client.submit(.test(split("b")))
      try await node.client.submit(.test(.move([RouteID(1)], to: GroupID(2))))
      try await node.client.submit(.test(split("x")))
      try await node.client.submit(.test(.move([RouteID(2)], to: GroupID(9))))
      try await node.client.submit(.test(split("y")))
      #expect(await ended != nil)
      #expect(heard.value.map(\.to.rawValue) == [3, 5])
      #expect(heard.value.first?.upserted.map(\.id) == [RouteID(1)])
      #expect(heard.value.last?.removed == [RouteID(2)])
    }
  }

  @Test(arguments: LogKind.allCases) func aLargeVersionArrivesWhole(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.limits.messageByteCount = 500
    } _: { node in
      try await node.client.submit(.test(oneRoute))
      let mirror = try await Mirror(at: CatalogVersion(1), of: node)
      let keys = (0..<100).map { Key("key \($0)") }
      try await node.client.submit(.test(.split(keys.map { SplitRequest(at: $0) })))
      try await node.client.submit(
        .test(
          .merge(
            (0..<100).map {
              MergeRequest(left: RouteID($0 == 0 ? 1 : $0 + 1), right: RouteID($0 + 2))
            })))
      try await mirror.follow(node, until: CatalogVersion(3))
      #expect(mirror.deltas == 2)
      #expect(mirror.routes == node.routes(at: CatalogVersion(3)))
    }
  }

  @Test(arguments: LogKind.allCases) func tellsThatNothingHappens(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(oneRoute))
      let seen = Mutex<[ReadStamp]>([])
      let ended = await refusal {
        try await node.client.watch(from: CatalogVersion(1), progress: .milliseconds(10)) {
          guard case .progress(let stamp) = $0 else { return }
          let count = seen.withLock { seen in
            seen.append(stamp)
            return seen.count
          }
          if count == 3 { throw Enough() }
        }
      }
      #expect(ended != nil)
      let stamps = seen.withLock { $0 }
      #expect(stamps.map(\.version) == Array(repeating: CatalogVersion(1), count: 3))
      #expect(stamps.allSatisfy { $0.staleness == .zero })
    }
  }

  @Test(arguments: LogKind.allCases)
  func aVersionFromTheFutureIsRefused(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(oneRoute))
      let error = await refusal {
        try await node.client.watch(from: CatalogVersion(5)) { _ in }
      }
      #expect(error?.code == .invalidArgument)
      #expect(error?.reason == "version_in_future")
      #expect(error?.detail?.catalogVersion == 1)
    }
  }

  /// A deadline alone would not tell the caller what there is.
  @Test(arguments: LogKind.allCases)
  func aWatchThatWaitsForAVersionSaysThatTheNodeIsBehind(log: LogKind) async throws {
    try await withLeader(on: log) { leader in
      try await leader.client.submit(.test(oneRoute))
      let folder = TemporaryFolder()
      let learner = try await TestNode(.learner(of: leader.address), folder: folder.path) {
        $0.limits.patience = .milliseconds(200)
      }
      try await withNode(learner) { learner in
        try await reach(learner, CatalogVersion(1))
        let error = await refusal {
          try await learner.client.watch(from: CatalogVersion(5), deadline: .seconds(60)) { _ in }
        }
        #expect(error?.code == .unavailable)
        #expect(error?.reason == "behind")
        #expect(error?.detail?.catalogVersion == 1)
      }
    }
  }

  @Test(arguments: LogKind.allCases)
  func aShutdownEndsWatchesWithAReason(log: LogKind) async throws {
    let folder = TemporaryFolder()
    let node = try await TestNode.leader(folder, on: log)
    try await node.client.submit(.test(oneRoute))
    let client = try NodeClient(node.address)
    let connecting = Task { try await client.run() }
    defer { connecting.cancel() }
    let (started, start) = AsyncStream.makeStream(of: Void.self)
    async let ended = refusal {
      try await client.watch(from: CatalogVersion(1)) { _ in start.yield() }
    }
    _ = await started.first { true }
    try await node.stop()
    let error = await ended
    #expect(error?.code == .unavailable)
    #expect(error?.reason == "shutting_down")
  }

  /// The node's timer may be before the caller's: a stream whose time is up has not ended well. Here
  /// the caller has none at all.
  @Test func aStreamEndsAtItsDeadlineAsSuch() async throws {
    try await withLeader { node in
      try await node.client.submit(.test(oneRoute))
      let deadline: Metadata = ["grpc-timeout": "100m"]
      await #expect {
        try await node.client.watches.watch(.init(), metadata: deadline) { response in
          for try await _ in response.messages {}
        }
      } throws: {
        ($0 as? RPCError)?.code == .deadlineExceeded
      }
      await #expect {
        try await node.client.health.watch(.init(), metadata: deadline) { response in
          for try await _ in response.messages {}
        }
      } throws: {
        ($0 as? RPCError)?.code == .deadlineExceeded
      }
    }
  }

  /// More is written than all the buffers on the way hold, so that a node that waited for the stalled
  /// one would wait for ever. That one goes on from the log, where it stopped.
  @Test(arguments: LogKind.allCases)
  func aWatcherThatStopsReadingHoldsUpNobody(log: LogKind) async throws {
    try await withLeader(on: log) {
      $0.store.historyCapacity = 2
    } _: { node in
      try await node.client.submit(.test(oneRoute))
      let last = CatalogVersion(21)
      let (gate, stalled) = (Gate(), try await Mirror(at: CatalogVersion(1), of: node))
      stalled.onDelta = { await gate.wait() }
      let mirror = try await Mirror(at: CatalogVersion(1), of: node)
      async let stalling: Void = stalled.follow(node, until: last)
      async let following: Void = mirror.follow(node, until: last)
      for number in 0..<20 {
        try await node.client.submit(
          .test(
            .split(
              (0..<100).map {
                SplitRequest(
                  at: Key(unchecked: [UInt8(number), UInt8($0)] + Array(repeating: 1, count: 4000)))
              })))
        // Who keeps up is not held up by who does not.
        try await until { mirror.version == CatalogVersion(UInt64(number) + 2) }
      }
      try await following
      #expect(mirror.routes == node.routes(at: last))
      #expect((stalled.version ?? .zero) <= CatalogVersion(2))
      let before = node.core.watchersReadLog.load(ordering: .relaxed)
      gate.open()
      try await stalling
      #expect(stalled.routes == mirror.routes)
      #expect(stalled.resets == 0)
      #expect(node.core.watchersReadLog.load(ordering: .relaxed) > before)
    }
  }
}

extension TestNode {
  /// The routes at a version that is retained.
  func routes(at version: CatalogVersion) -> [Route]? {
    core.store.table(at: version)?.routes(overlapping: .all)
  }
}

/// Holds up who waits until it is opened.
final class Gate: Sendable {
  private let stream: AsyncStream<Void>
  private let continuation: AsyncStream<Void>.Continuation

  init() { (stream, continuation) = AsyncStream.makeStream() }

  func wait() async { for await _ in stream {} }
  func open() { continuation.finish() }
}

/// Routes that are kept in step by a watch: the dumb twin of a route table.
final class Mirror: Sendable {
  private struct State {
    var version: CatalogVersion?
    var routes: [RouteID: Route] = [:]
    var snapshot: [RouteID: Route]?
    var resets = 0
    var deltas = 0
    var snapshotChunks = 0
    var onDelta: (@Sendable () async -> Void)?
  }

  private struct ReachedTheEnd: Error {}

  private let state: Mutex<State>

  init(version: CatalogVersion? = nil) { state = Mutex(State(version: version)) }

  /// Begins with the routes that `node` has at `version`.
  init(at version: CatalogVersion, of node: TestNode) async throws {
    let routes = try #require(node.routes(at: version))
    state = Mutex(
      State(version: version, routes: Dictionary(uniqueKeysWithValues: routes.map { ($0.id, $0) })))
  }

  var version: CatalogVersion? { state.withLock { $0.version } }
  var resets: Int { state.withLock { $0.resets } }
  var deltas: Int { state.withLock { $0.deltas } }
  var snapshotChunks: Int { state.withLock { $0.snapshotChunks } }
  /// In key order.
  var routes: [Route]? {
    state.withLock { $0.routes.values.sorted { $0.span.lower < $1.span.lower } }
  }
  var onDelta: (@Sendable () async -> Void)? {
    get { state.withLock { $0.onDelta } }
    set { state.withLock { $0.onDelta = newValue } }
  }

  /// Follows `node` until it has `last`.
  func follow(_ node: TestNode, until last: CatalogVersion) async throws {
    do {
      try await node.client.watch(from: version, progress: .milliseconds(50)) { event in
        if case .delta = event, let hold = self.onDelta { await hold() }
        self.take(event)
        if self.version == last { throw ReachedTheEnd() }
      }
    } catch {
      // The call's own end hides what the body threw.
      if version != last { throw error }
    }
  }

  private func take(_ event: WatchEvent) {
    state.withLock { state in
      switch event {
      case .started(let catalog, let version, let reset):
        #expect(catalog == testCatalog)
        if reset == nil {
          #expect(version == state.version)
        } else {
          state.resets += 1
          state.snapshot = [:]
        }
      case .snapshot(let version, let routes, let end):
        #expect(state.snapshot != nil)
        for route in routes { state.snapshot?[route.id] = route }
        state.snapshotChunks += 1
        if let end {
          state.routes = state.snapshot ?? [:]
          state.snapshot = nil
          state.version = version
          #expect(end.routeCount == UInt64(state.routes.count))
        }
      case .delta(let delta):
        #expect(delta.from == state.version)
        #expect(delta.to == delta.from.next)
        for id in delta.removed { #expect(state.routes.removeValue(forKey: id) != nil) }
        for route in delta.upserted { state.routes[route.id] = route }
        state.version = delta.to
        state.deltas += 1
      case .digest(let version, _):
        #expect(version == state.version)
      case .progress(let stamp):
        #expect(stamp.version == state.version)
      }
    }
  }
}
