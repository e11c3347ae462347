import CadastreClient
import Catalog
import EtcdSupport
import Foundation
import GRPCCore
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// The client library against real nodes.
@Suite(.oneEtcd, .timeLimit(.minutes(5))) struct CatalogClientTests {
  @Test(arguments: LogKind.allCases) func keepsTheRoutesInStep(log: LogKind) async throws {
    try await withLeader(on: log) { leader in
      let client = try CatalogClient(
        nodes: [CatalogEndpoint(leader.address)], try .quick(),
        generator: SeededGenerator(seed: 1))
      #expect(client.owner(of: Key("a")) == nil && client.staleness == nil)
      try await client.whileRunning { client in
        let first = client.command(firstRoutes)
        let made = try await client.submit(first)
        #expect(try await client.submit(first).outcome == .repeated)
        // What was written is read, from here or from there.
        #expect(try await client.resolve(Key("a")).stamp.version >= made.version)
        try await until { client.version == made.version && client.staleness != nil }
        #expect(client.owner(of: Key("zoo"))?.group == GroupID(2))
        let demand = ReadDemand(minimumVersion: made.version, maximumStaleness: .seconds(60))
        #expect(
          try await client.resolve([Key("a"), Key("z")], demand).value.map(\.group.rawValue) == [
            1, 2,
          ])
        #expect(client.status.watched?.address == leader.address)
        #expect(client.snapshot?.routeCount == 2)
        let cut = try await client.submit(client.command(.split([SplitRequest(at: Key("c"))])))
        try await until { client.version == cut.version }
        #expect(client.owner(of: Key("d"))?.route == cut.newRoutes.first)
      }
    }
  }

  /// One that has heard nothing yet does not end a call: another node is asked.
  @Test func aNewNodeDoesNotSayThatThereIsNothing() async throws {
    let folder = TemporaryFolder()
    try await withLeader { leader in
      try await leader.client.submit(.test(oneRoute))
      let nobody = NodeAddress(host: "127.0.0.1", port: quietPort())
      try await withNode(TestNode.newLearner(folder, of: nobody, region: "near")) { learner in
        let client = try CatalogClient(
          nodes: [
            CatalogEndpoint(learner.address, region: try Region("near")),
            CatalogEndpoint(leader.address, region: try Region("far")),
          ], try .quick("near"), generator: SeededGenerator(seed: 5))
        try await client.whileRunning { client in
          let answer = try await client.resolve(Key("a"))
          #expect(answer.value.id == RouteID(1))
        }
      }
    }
    withExtendedLifetime(folder) {}
  }

  /// A command on old routes is refused with the newer ones, and nothing older is read from then on.
  @Test(arguments: LogKind.allCases)
  func aStaleVersionIsRefusedWithTheNewerRoutes(log: LogKind) async throws {
    try await withLeader(on: log) { leader in
      let client = try CatalogClient(
        nodes: [CatalogEndpoint(leader.address)], try .quick(),
        generator: SeededGenerator(seed: 2))
      try await client.whileRunning { client in
        let made = try await client.submit(client.command(firstRoutes))
        let receipt = try await leader.client.submit(.test(split("c")))
        do throws(CatalogClientError) {
          _ = try await client.submit(
            client.command(.split([SplitRequest(at: Key("b"))]), expecting: made.version))
          Issue.record("the command was carried out")
        } catch {
          #expect(error.kind == .staleVersion && error.reason == "stale_version")
          #expect(error.catalogVersion == receipt.version)
          #expect(error.newerRoutes.map(\.id) == [RouteID(1)])
        }
        #expect(try await client.resolve(Key("d")).value.id == receipt.newRoutes.first)
        do throws(CatalogClientError) {
          _ = try await client.resolve(
            Key("d"), ReadDemand(minimumVersion: CatalogVersion(1000)), deadline: .milliseconds(200)
          )
          Issue.record("a version was read that is not there")
        } catch {
          #expect(error.kind == .unavailable)
        }
      }
    }
  }

  /// The leader goes and comes back, under the watch; commands sent meanwhile happen once.
  @Test(arguments: LogKind.allCases)
  func goesOnAcrossARestartOfTheLeader(log: LogKind) async throws {
    let folder = TemporaryFolder()
    let first = try await TestNode.leader(folder, port: quietPort(), on: log) {
      $0.gracePeriod = .milliseconds(100)
    }
    let client = try CatalogClient(
      nodes: [CatalogEndpoint(first.address)], try .quick(), generator: SeededGenerator(seed: 3))
    try await client.whileRunning { client in
      _ = try await client.submit(client.command(firstRoutes))
      try await until { client.version == CatalogVersion(1) }
      try await first.stop()
      #expect(client.owner(of: Key("a"))?.group == GroupID(1))
      let cut = client.command(.split([SplitRequest(at: Key("c"))]))
      let sending = Task { try await client.submit(cut) }
      let second = try await TestNode.leading(
        first.role, folder: first.folder, port: first.address.port)
      try await withNode(second) { node in
        let version = try await sending.value.version
        try await until { client.version == version }
        #expect(client.status.resets == 1, "the watch began anew")
        #expect(node.core.store.current.version == CatalogVersion(2))
        #expect(
          client.snapshot?.routes(overlapping: .all)
            == node.core.store.current.routes.routes(overlapping: .all))
      }
    }
  }

  /// Reads end at home, wander off when home is killed or cut off, and come back.
  @Test(arguments: LogKind.allCases) func spreadsOverLearnersByRegion(log: LogKind) async throws {
    try await withLeader(on: log) { leader in
      try await leader.client.submit(.test(bootstrap("m")))
      let folder = TemporaryFolder()
      @Sendable func learner(_ name: String, port: Int = 0) async throws -> TestNode {
        try await TestNode(
          .learner(of: leader.address), folder: folder.appending(name), port: port, region: name)
      }
      let near = try await learner("tokyo", port: quietPort())
      let far = try await learner("dublin")
      let line = try NetworkProxy(to: far.address, seed: 1)
      defer { line.stop() }
      let endpoints = [
        CatalogEndpoint(near.address, region: try Region("tokyo")),
        CatalogEndpoint(line.address, region: try Region("dublin")),
        CatalogEndpoint(leader.address, region: try Region("lima")),
      ]
      let client = try CatalogClient(
        nodes: endpoints, try .quick("tokyo"), generator: SeededGenerator(seed: 4))
      try await client.whileRunning { client in
        try await until { client.status.watched == endpoints[0] }
        // Killed: one of the others tells what changes, and answers what is not here yet.
        try await near.stop()
        let cut = try await leader.client.submit(.test(split("c")))
        try await until { client.version == cut.version }
        let demand = ReadDemand(minimumVersion: cut.version)
        #expect(try await client.resolve(Key("d"), demand).value.id == cut.newRoutes.first)
        #expect(client.status.watched != endpoints[0])
        // Cut off and silent: whatever watched over that line goes to the leader.
        line.swallow()
        line.cut()
        let moved = try await leader.client.submit(.test(.move([RouteID(1)], to: GroupID(7))))
        try await until { client.version == moved.version }
        try await until { client.status.watched == endpoints[2] }
        #expect(client.owner(of: .least)?.group == GroupID(7))
        // Home is back: it is watched again.
        let again = try await learner("tokyo", port: near.address.port)
        try await withNode(again) { _ in
          try await until { client.status.watched == endpoints[0] }
          let last = try await leader.client.submit(.test(split("x")))
          try await until { client.version == last.version }
        }
      }
      try await far.stop()
      withExtendedLifetime(folder) {}
    }
  }

  /// A node that answers too late is left for one that does not.
  @Test(arguments: LogKind.allCases) func asksAnotherWhereOneIsSlow(log: LogKind) async throws {
    try await withLeader(on: log) { leader in
      try await leader.client.submit(.test(bootstrap("m")))
      let slow = try NetworkProxy(to: leader.address, seed: 1)
      defer { slow.stop() }
      slow.stall()
      let (home, away) = (try Region("home"), try Region("away"))
      let client = try CatalogClient(
        nodes: [
          CatalogEndpoint(slow.address, region: home),
          CatalogEndpoint(leader.address, region: away),
        ],
        try .quick("home") { $0.retry.attemptTimeout = .milliseconds(100) },
        generator: SeededGenerator(seed: 5))
      try await client.whileRunning { client in
        #expect(try await client.resolve(Key("z")).value.group == GroupID(2))
        try await until { client.status.watched?.region == away }
        try await until { client.owner(of: Key("z"))?.group == GroupID(2) }
      }
    }
  }

  /// What is shown at a version is what the node had at it, over histories with reconnects, restarts,
  /// versions told from the log, resets and trimming; and versions only rise.
  @Test(arguments: testSeeds(count: 2), LogKind.allCases)
  func showsWhatTheNodeHad(seed: UInt64, log: LogKind) async throws {
    let folder = TemporaryFolder()
    let configure: @Sendable (inout NodeConfiguration) -> Void = {
      var policy = RetentionPolicy()
      policy.log = .zero
      $0.retention = policy
      $0.retentionInterval = .milliseconds(100)
      $0.store.checkpoints.versions = 15
      $0.store.historyCapacity = 3
      $0.limits.messageByteCount = 300
      $0.gracePeriod = .milliseconds(100)
    }
    var node = try await TestNode.leader(folder, port: quietPort(), on: log, configure)
    let path = node.folder
    let line = try NetworkProxy(to: node.address, seed: seed)
    defer { line.stop() }
    let truth = Shared<[CatalogVersion: [Route]]>([.zero: []])
    let shown = Shared<[CatalogSnapshot]>([])
    let client = try CatalogClient(
      nodes: [CatalogEndpoint(line.address)],
      try .quick { $0.onUpdate = { snapshot in shown.change { $0.append(snapshot) } } },
      generator: SeededGenerator(seed: seed))
    let running = Task { try await client.run() }
    defer { running.cancel() }
    var random = SeededGenerator(seed: seed)
    var changes = ChangeMaker(generator: SeededGenerator(seed: seed + 100))
    try await node.client.submit(.test(bootstrap("g", "p")))
    func note(_ state: CatalogState) {
      truth.change { $0[state.version] = state.routes.routes(overlapping: .all) }
    }
    note(node.core.store.current)
    while node.core.store.current.version.rawValue < 100 {
      try await node.client.submit(.test(changes.next(node.core.store.current.routes)))
      note(node.core.store.current)
      if random.oneIn(12) {
        // Away for a while, perhaps for so long that the log begins later.
        line.cut()
        let end = node.core.store.current.version.rawValue + (random.oneIn(2) ? 25 : 3)
        while node.core.store.current.version.rawValue < end {
          try await node.client.submit(.test(changes.next(node.core.store.current.routes)))
          note(node.core.store.current)
        }
        if random.oneIn(2) { try await Task.sleep(for: .milliseconds(120)) }
        line.mend()
      }
      if random.oneIn(30) {
        let port = node.address.port
        try await node.stop()
        node = try await TestNode.leading(node.role, folder: path, port: port, configure)
      }
      if random.oneIn(4) { try await Task.sleep(for: .milliseconds(10)) }
    }
    let last = node.core.store.current.version
    try await until { client.version == last }
    let history = shown.value
    #expect(history.count > 3, "seed \(seed)")
    for (before, after) in zip(history, history.dropFirst()) {
      #expect(before.version <= after.version, "seed \(seed)")
    }
    for snapshot in history {
      #expect(
        snapshot.routes(overlapping: .all) == truth.value[snapshot.version],
        "seed \(seed), version \(snapshot.version)")
    }
    #expect(client.status.lastError == "", "seed \(seed)")
    try await node.stop()
    withExtendedLifetime(folder) {}
  }

  /// The example is built against what is public alone, and does what it says.
  @Test(arguments: LogKind.allCases) func theExampleRuns(log: LogKind) async throws {
    try await withLeader(on: log) { leader in
      let program = CadastreProcess.program.deletingLastPathComponent()
        .appending(path: "client-example")
      let ended = try await ChildProcess(program, ["\(leader.address)"])
        .wait(limit: .seconds(60))
      #expect(ended.status == 0, "\(ended.errors)")
      #expect(
        ended.output == """
          version 1: 2 routes
          again: repeated
          house: route 1, group 1
          refused at version 2: stale_version
          house: route 3, group 1, active
            ["", "h") 1
            ["h", "m") 1
            ["m", ∞) 2
          fresh: true

          """)
    }
  }
}
