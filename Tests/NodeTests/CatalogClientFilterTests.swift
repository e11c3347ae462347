import CadastreClient
import Catalog
import EtcdSupport
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// Clients that keep some of the routes alone.
@Suite(.oneEtcd, .timeLimit(.minutes(5))) struct CatalogClientFilterTests {
  @Test(arguments: LogKind.allCases)
  func aClientOfASpanAnswersForItAlone(log: LogKind) async throws {
    try await withLeader(on: log) { leader in
      try await leader.client.submit(.test(bootstrap("g", "m", "t")))
      let client = try CatalogClient(
        nodes: [CatalogEndpoint(leader.address)],
        try .quick { $0.watching = .span(try KeySpan(Key("h"), Key("p"))) },
        generator: SeededGenerator(seed: 1))
      try await client.whileRunning { client in
        try await until { client.version == CatalogVersion(1) && client.staleness != nil }
        #expect(client.snapshot?.routes(overlapping: .all).map(\.id.rawValue) == [2, 3])
        #expect(client.owner(of: Key("i"))?.group == GroupID(2))
        #expect(client.owner(of: Key("z")) == nil)
        for keys in [[Key("z")], [Key("i"), Key("a")], [Key("p")]] {
          do throws(CatalogClientError) {
            _ = try await client.resolve(keys)
            Issue.record("\(keys) were answered")
          } catch {
            #expect(error.kind == .outsideSpan && error.reason == "outside_span")
            #expect(error.description.contains("[\"h\", \"p\")"), "\(error)")
            #expect(!error.remedy.isEmpty)
          }
        }
        await #expect(throws: CatalogClientError.self) { try await client.resolve(Key("a")) }
        // What happens elsewhere does not come here, but that it is no news does.
        let elsewhere = try await client.submit(
          client.command(.split([SplitRequest(at: Key("b"))])))
        try await until { client.version == elsewhere.version }
        #expect(client.snapshot?.routeCount == 2)
        let demand = ReadDemand(minimumVersion: elsewhere.version, maximumStaleness: .seconds(60))
        #expect(try await client.resolve(Key("i"), demand).value.group == GroupID(2))
        let cut = try await client.submit(client.command(.split([SplitRequest(at: Key("k"))])))
        try await until { client.version == cut.version }
        #expect(client.owner(of: Key("l"))?.route == cut.newRoutes.first)
        #expect(client.status.resets == 1, "the watch began anew")
      }
    }
  }

  @Test(arguments: LogKind.allCases) func aClientOfAGroupAsksForTheRest(log: LogKind) async throws {
    try await withLeader(on: log) { leader in
      try await leader.client.submit(.test(bootstrap("m")))
      let client = try CatalogClient(
        nodes: [CatalogEndpoint(leader.address)],
        try .quick { $0.watching = .group(GroupID(2)) },
        generator: SeededGenerator(seed: 1))
      try await client.whileRunning { client in
        try await until { client.version == CatalogVersion(1) }
        #expect(client.owner(of: Key("a")) == nil)
        #expect(client.owner(of: Key("z"))?.group == GroupID(2))
        #expect(try await client.resolve(Key("a")).value.group == GroupID(1))
        #expect(
          try await client.resolve([Key("a"), Key("z")]).value.map(\.group.rawValue) == [1, 2])
        let moved = try await leader.client.submit(.test(.move([RouteID(2)], to: GroupID(3))))
        try await until { client.version == moved.version }
        #expect(client.snapshot?.routeCount == 0 && client.owner(of: Key("z")) == nil)
      }
    }
  }

  /// What is shown at a version is what the filter let through of what the node had at it, over
  /// reconnects, versions told from the log, and resets; and versions only rise.
  @Test(arguments: testSeeds(count: 2))
  func showsWhatTheFilterLetsThrough(seed: UInt64) async throws {
    let filters: [WatchFilter] = [
      .span(try KeySpan(Key("f"), Key("q"))), .span(try KeySpan(Key("p"), nil)),
      .group(GroupID(2)),
    ]
    try await withLeader {
      var policy = RetentionPolicy()
      policy.log = .zero
      $0.retention = policy
      $0.retentionInterval = .milliseconds(100)
      $0.store.checkpoints.versions = 15
      $0.store.historyCapacity = 3
      $0.limits.messageByteCount = 300
    } _: { node in
      let line = try NetworkProxy(to: node.address, seed: seed)
      defer { line.stop() }
      // A client may be there before the first route is.
      let truth = Shared<[CatalogVersion: [Route]]>([CatalogVersion(0): []])
      let shown = filters.map { _ in Shared<[CatalogSnapshot]>([]) }
      let clients = try zip(filters, shown).map { filter, shown in
        try CatalogClient(
          nodes: [CatalogEndpoint(line.address)],
          try .quick {
            $0.watching = filter
            $0.onUpdate = { snapshot in shown.change { $0.append(snapshot) } }
          }, generator: SeededGenerator(seed: seed))
      }
      let running = clients.map { client in Task { try await client.run() } }
      defer { for task in running { task.cancel() } }
      var random = SeededGenerator(seed: seed)
      var changes = ChangeMaker(generator: SeededGenerator(seed: seed + 100))
      func change(_ change: RouteChange) async throws {
        try await node.client.submit(.test(change))
        let state = node.core.store.current
        truth.change { $0[state.version] = state.routes.routes(overlapping: .all) }
      }
      try await change(bootstrap("g", "p"))
      while node.core.store.current.version.rawValue < 100 {
        try await change(changes.next(node.core.store.current.routes))
        if random.oneIn(12) {
          line.cut()
          for _ in 0..<(random.oneIn(2) ? 25 : 3) {
            try await change(changes.next(node.core.store.current.routes))
          }
          if random.oneIn(2) { try await Task.sleep(for: .milliseconds(120)) }
          line.mend()
        }
        if random.oneIn(4) { try await Task.sleep(for: .milliseconds(10)) }
      }
      let last = node.core.store.current.version
      for (index, client) in clients.enumerated() {
        let comment: Comment = "seed \(seed), \(filters[index])"
        try await until { client.version == last }
        let history = shown[index].value
        #expect(history.count > 1, comment)
        for (before, after) in zip(history, history.dropFirst()) {
          #expect(before.version < after.version || before.routeCount == after.routeCount, comment)
        }
        for snapshot in history {
          #expect(
            snapshot.routes(overlapping: .all)
              == truth.value[snapshot.version]?.filter(filters[index].contains), comment)
        }
        try await until { client.status.lastError == "" }
      }
    }
  }
}
