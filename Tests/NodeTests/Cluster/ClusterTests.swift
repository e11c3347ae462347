import CadastreClient
import Catalog
import ClusterSupport
import Replay
import StateMachines
import Synchronization
import TestSupport
import Testing

@testable import Node

/// Nodes that share a stream in memory, with real calls between them.
@Suite(.timeLimit(.minutes(5))) struct ClusterTests {
  /// Waits until all have what the stream has, and are the same.
  private func expectEqual(
    _ cluster: TestCluster, _ members: [TestMember], _ comment: Comment? = nil
  ) async throws {
    for member in members {
      try await until {
        member.state.appliedThrough >= cluster.memory.entries.last?.entry.position ?? .zero
      }
    }
    for member in members {
      #expect(member.state.header == members[0].state.header, comment)
      #expect(member.state.lastHash == cluster.memory.entries.last?.hash, comment)
    }
  }

  /// That each command has one entry, at the place that its receipt names.
  private func expectOnce(
    _ cluster: TestCluster, _ receipts: [CommandReceipt], _ comment: Comment? = nil
  ) {
    let entries = cluster.memory.entries
    #expect(Set(entries.map(\.entry.command)).count == entries.count, comment)
    let positions = Dictionary(
      entries.map { ($0.entry.command, $0.entry.position) }, uniquingKeysWith: { first, _ in first }
    )
    for receipt in receipts where receipt.outcome != .alreadyDone {
      #expect(positions[receipt.command] == receipt.position, comment)
    }
  }

  @Test func anyNodeTakesCommandsAndOneDecidesThem() async throws {
    let cluster = TestCluster()
    try await cluster.run("a", "b", "c") { members in
      let leader = try await cluster.leader(of: members)
      var receipts = [try await members[2].node.client.submit(.test(oneRoute))]
      for (index, text) in ["g", "m", "p", "t", "w", "y"].enumerated() {
        receipts.append(try await members[index % 3].node.client.submit(.test(split(text))))
      }
      try await expectEqual(cluster, members)
      expectOnce(cluster, receipts)
      for member in members {
        try await until {
          try await member.node.client.status().leaderAddress == "\(leader.node.address)"
        }
        let status = try await member.node.client.status()
        let leads = member.name == leader.name
        #expect(status.role == (leads ? .leader : .learner))
        #expect((status.learner == nil) == leads)
        #expect(status.cluster?.member == member.name.name)
        #expect(status.cluster?.leader == leader.name.name)
        #expect(status.cluster?.term == cluster.memory.leader?.term.rawValue)
        #expect(status.cluster?.stream == "memory/test")
        let text = member.node.core.metrics.text(of: member.node.core, regions: nil)
        #expect(text.contains("cadastre_cluster_leads \(leads ? 1 : 0)"))
      }
    }
  }

  @Test func aLeaderThatStopsGivesTheLeadBackAndNothingIsLost() async throws {
    let cluster = TestCluster()
    try await cluster.run("a", "b", "c") { members in
      let leader = try await cluster.leader(of: members)
      try await leader.insist(.test(oneRoute))
      let others = members.filter { $0.name != leader.name }
      let receipts = try await withThrowingTaskGroup(of: [CommandReceipt].self) { group in
        for (writer, member) in others.enumerated() {
          group.addTask {
            var receipts: [CommandReceipt] = []
            for number in 0..<40 {
              receipts.append(try await member.insist(.test(split("\(writer)-\(number)"))))
            }
            return receipts
          }
        }
        group.addTask {
          try await until { cluster.memory.entries.count > 10 }
          try await leader.stop()
          return []
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      #expect(receipts.count == 80)
      #expect(cluster.memory.leader?.member.name != leader.name)
      try await expectEqual(cluster, others)
      expectOnce(cluster, receipts)
      // What it knew at the end is the beginning of what the others have.
      let folder = try EventLog.open(folder: leader.node.folder, mode: .readOnly)
      let tail = try folder.tail()
      #expect(cluster.memory.entries[Int(tail.position.rawValue) - 1].hash == tail.hash)
    }
  }

  @Test func aNodeThatLosesTheLeadGoesOnServing() async throws {
    let cluster = TestCluster()
    try await cluster.run("a", "b", "c") { members in
      let first = try await cluster.leader(of: members)
      try await first.insist(.test(oneRoute))
      let term = try #require(cluster.memory.leader?.term)
      let seen = Mutex(CatalogVersion.zero)
      let watch = Task {
        try await first.node.client.watch(from: nil) { event in
          switch event {
          case .delta(let delta): seen.withLock { $0 = max($0, delta.to) }
          default: break
          }
        }
      }
      defer { watch.cancel() }
      // One that is cut off when its lease runs out.
      first.stream.setCut(true)
      cluster.memory.endTerm()
      let second = try await cluster.leader(of: members, after: term)
      #expect(second.name != first.name)
      try await until { first.node.core.role == .learner }
      let receipt = try await second.insist(.test(split("m")))
      // Cut off, it says that it is behind, and serves who does not mind.
      let demand = ReadDemand(maximumStaleness: .milliseconds(1))
      let refused = await refusal {
        try await first.node.client.resolve(Key("a"), demand: demand, deadline: .seconds(4))
      }
      #expect(refused?.reason == "behind")
      #expect(try await first.node.client.resolve(Key("a")).stamp.version == CatalogVersion(1))
      first.stream.setCut(false)
      try await reach(first.node, receipt.version)
      try await until { seen.withLock { $0 } >= receipt.version }
      let command = Command.test(split("p"))
      let forwarded = try await first.insist(command)
      #expect(try await first.insist(command).outcome == .repeated)
      try await expectEqual(cluster, members)
      expectOnce(cluster, [receipt, forwarded])
      // Fresh again, by the word of the stream.
      let fresh = try await first.node.client.resolve(
        Key("z"), demand: ReadDemand(maximumStaleness: .seconds(2)), deadline: .seconds(20))
      #expect(fresh.stamp.version == forwarded.version)
    }
  }

  @Test(arguments: [true, false])
  func anUnknownOutcomeComesOut(isDone: Bool) async throws {
    let cluster = TestCluster()
    try await cluster.run("a", "b", "c") { members in
      let leader = try await cluster.leader(of: members)
      try await leader.insist(.test(oneRoute))
      let term = try #require(cluster.memory.leader?.term)
      leader.stream.fail(.unknown(isDone: isDone))
      let command = Command.test(split("m"))
      let refused = await refusal { try await leader.node.client.submit(command) }
      #expect(refused?.reason == "outcome_unknown")
      #expect(refused?.message.contains("under the same id") == true)
      _ = try await cluster.leader(of: members, after: term)
      let receipt = try await members[1].insist(command)
      #expect(receipt.outcome == (isDone ? .repeated : .appended))
      #expect(cluster.memory.entries.count == 2)
      try await expectEqual(cluster, members)
      expectOnce(cluster, [receipt])
      #expect(leader.node.core.condition == nil)
    }
  }

  @Test func aLeaderWhoseDiskDoesNotFollowMakesRoom() async throws {
    let cluster = TestCluster()
    var small = LogOptions()
    (small.initialMapSize, small.maximumMapSize) = (64 << 10, 512 << 10)
    try EventLog.create(
      folder: cluster.folder.appending("a"), catalog: testCatalog, options: small
    ).releaseForWriting()
    let full = try await cluster.start("a") { configuration, _ in configuration.store.log = small }
    var members = [full]
    do {
      _ = try await cluster.leader(of: members)
      let term = try #require(cluster.memory.leader?.term)
      for name in ["b", "c"] { members.append(try await cluster.start(name)) }
      var receipts = [try await full.insist(.test(oneRoute))]
      var number = 0
      while cluster.memory.leader?.term == term {
        number += 1
        let keys = (0..<50).map {
          SplitRequest(at: Key(String(repeating: "k", count: 100) + "\(number)-\($0)"))
        }
        receipts.append(try await members[1].insist(.test(.split(keys))))
      }
      let next = try await cluster.leader(of: members, after: term)
      #expect(next.name != full.name)
      receipts.append(try await full.insist(.test(split("zz"))))
      try await expectEqual(cluster, [members[1], members[2]])
      expectOnce(cluster, receipts)
      // It has all but what did not fit, and knows that it is behind.
      #expect(full.state.appliedThrough < members[1].state.appliedThrough)
      let refused = await refusal {
        try await full.node.client.resolve(
          Key("a"), demand: ReadDemand(minimumVersion: members[1].state.version),
          deadline: .seconds(2))
      }
      #expect(refused?.reason == "behind")
    } catch {
      for member in members { try? await member.stop() }
      throw error
    }
    for member in members { try await member.stop() }
  }

  @Test func aLateMemberFollowsFromTheBeginning() async throws {
    let cluster = TestCluster()
    try await cluster.run("a", "b") { members in
      try await members[0].insist(.test(oneRoute))
      for text in ["d", "k", "q"] { try await members[1].insist(.test(split(text))) }
      let late = try await cluster.start("c")
      try await withNode(late.node) { _ in
        try await reach(late.node, CatalogVersion(4))
        try await expectEqual(cluster, members + [late])
        #expect(try late.node.core.store.firstPosition() == LogPosition(1))
      }
    }
  }

  @Test func aMemberBehindTheWindowAsksTheLeader() async throws {
    let cluster = TestCluster()
    try await cluster.run("a", "b") { members in
      let leader = try await cluster.leader(of: members)
      try await leader.insist(.test(oneRoute))
      for text in ["d", "k", "q"] { try await members[1].insist(.test(split(text))) }
      try await expectEqual(cluster, members)
      cluster.memory.trim(through: LogPosition(3))
      let late = try await cluster.start("c")
      try await withNode(late.node) { _ in
        try await reach(late.node, CatalogVersion(4))
        let receipt = try await late.insist(.test(split("x")))
        try await reach(late.node, receipt.version)
        try await expectEqual(cluster, members + [late])
        // The leader has all entries still.
        #expect(try late.node.core.store.firstPosition() == LogPosition(1))
      }
    }
  }

  @Test func aMemberTakesAStateWhenNobodyHasTheEntries() async throws {
    let cluster = TestCluster()
    // A catalog whose log begins after a state.
    var state = CatalogState(catalog: testCatalog)
    for (number, change) in [oneRoute, split("d"), split("m")].enumerated() {
      _ = try state.propose(
        .test(change), time: HybridTimestamp(milliseconds: UInt64(number) + 1_000, counter: 0))
    }
    let log = try EventLog.create(folder: cluster.folder.appending("a"), catalog: testCatalog)
    try log.install(base: state)
    log.releaseForWriting()
    let first = try await cluster.start("a")
    try await withNode(first.node) { _ in
      try await first.insist(.test(split("t")))
      let late = try await cluster.start("b")
      try await withNode(late.node) { _ in
        try await reach(late.node, CatalogVersion(4))
        try await expectEqual(cluster, [first, late])
        #expect(try late.node.core.store.firstPosition() > LogPosition(1))
        #expect(try await late.insist(.test(split("w"))).version == CatalogVersion(5))
      }
    }
  }

  @Test func theWindowGoesOnAndAMemberThatHoldsItBackIsNamed() async throws {
    let cluster = TestCluster()
    try await cluster.run(
      "a", "b",
      configure: { _, options in
        options.window.margin = 2
        options.window.limit = 6
        options.reportLifetime = .seconds(60)
      }
    ) { members in
      let leader = try await cluster.leader(of: members)
      let other = try #require(members.first { $0.name != leader.name })
      try await leader.insist(.test(oneRoute))
      for number in 0..<5 { try await leader.insist(.test(split("a\(number)"))) }
      try await until { cluster.memory.trimmedThrough == LogPosition(4) }
      other.stream.setCut(true)
      var refused: NodeError?
      for number in 0..<200 where refused == nil {
        refused = await refusal {
          try await leader.node.client.submit(.test(split("b\(number)")))
        }
        try await Task.sleep(for: .milliseconds(10))
      }
      #expect(refused?.reason == "window_full")
      #expect(refused?.message.contains(other.name.name) == true)
      #expect(try await leader.node.client.status().cluster?.heldBackBy == [other.name.name])
      #expect(cluster.memory.trimmedThrough == LogPosition(4))
      other.stream.setCut(false)
      try await until {
        await refusal { try await leader.node.client.submit(.test(split("c"))) } == nil
      }
      try await expectEqual(cluster, members)
    }
  }

  @Test func aMembersFolderIsServedInItsClusterAlone() async throws {
    let cluster = TestCluster()
    try await cluster.run("a") { members in try await members[0].insist(.test(oneRoute)) }
    let path = cluster.folder.appending("a")
    for role in [NodeConfiguration.Role.leader, .learner(of: NodeAddress(host: "::1", port: 9))] {
      await #expect(throws: StoreError.ofCluster(folder: path, "memory/test")) {
        _ = try await TestNode(role, folder: path)
      }
    }
    let stranger = TestCluster(name: "memory/other")
    stranger.memory.create(testCatalog)
    await #expect(throws: StoreError.ofCluster(folder: path, "memory/test")) {
      let options = ClusterOptions(
        stream: stranger.memory.connect(), name: try MemberName("a"))
      _ = try await TestNode(.member(of: options), folder: path)
    }
    // A cluster of another catalog is not joined either, nor one that has lost its stream.
    let other = TestCluster(name: "memory/test")
    await #expect(throws: StoreError.stream("memory/test", .missing("memory/test"))) {
      let options = ClusterOptions(stream: other.memory.connect(), name: try MemberName("a"))
      _ = try await TestNode(.member(of: options), folder: path)
    }
    let catalog = CatalogID.named("test catalog 002")
    other.memory.create(catalog)
    await #expect(throws: StoreError.otherCatalog(expected: catalog, found: testCatalog)) {
      let options = ClusterOptions(stream: other.memory.connect(), name: try MemberName("a"))
      _ = try await TestNode(.member(of: options), folder: path)
    }
  }

  /// Leaders that are cut off, lose their lease or hear nothing of what they wrote, while commands go on.
  @Test(arguments: testSeeds(count: 3))
  func whateverHappensEachCommandIsCarriedOutOnce(seed: UInt64) async throws {
    let cluster = TestCluster()
    try await cluster.run("a", "b", "c") { members in
      try await members[0].insist(.test(oneRoute))
      let receipts = try await withThrowingTaskGroup(of: [CommandReceipt].self) { group in
        for (writer, member) in members.enumerated() {
          group.addTask {
            var receipts: [CommandReceipt] = []
            for number in 0..<40 {
              receipts.append(try await member.insist(.test(split("\(writer)-\(number)"))))
            }
            return receipts
          }
        }
        let chaos = Task {
          var generator = SeededGenerator(seed: seed)
          while !Task.isCancelled {
            try await Task.sleep(for: .milliseconds(Int.random(in: 1...40, using: &generator)))
            let member = members[Int.random(in: 0..<members.count, using: &generator)]
            switch Int.random(in: 0..<5, using: &generator) {
            case 0: cluster.memory.endTerm()
            case 1: member.stream.fail(.unknown(isDone: generator.oneIn(2)))
            case 2: member.stream.fail(.unknownUntilTermEnds)
            case 3: member.stream.setDelay(.milliseconds(generator.oneIn(3) ? 3 : 0))
            default:
              member.stream.setCut(true)
              if cluster.memory.leader?.member.name == member.name { cluster.memory.endTerm() }
              try await Task.sleep(for: .milliseconds(20))
              member.stream.setCut(false)
            }
          }
        }
        defer { chaos.cancel() }
        let all = try await group.reduce(into: [CommandReceipt]()) { $0 += $1 }
        chaos.cancel()
        _ = await chaos.result
        return all
      }
      for member in members {
        member.stream.setCut(false)
        member.stream.setDelay(.zero)
      }
      #expect(receipts.count == 120, "seed \(seed)")
      try await expectEqual(cluster, members, "seed \(seed)")
      expectOnce(cluster, receipts, "seed \(seed)")
      for member in members { #expect(member.node.core.condition == nil, "seed \(seed)") }
    }
  }
}
