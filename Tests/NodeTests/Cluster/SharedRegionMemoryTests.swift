import CadastreClient
import CadastreProtocol
import Catalog
import ClusterSupport
import Foundation
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// Nodes that share a region's stream in memory, where what goes wrong is at a test's word.
@Suite(.timeLimit(.minutes(5))) struct SharedRegionMemoryTests {
  private let folder = TemporaryFolder()
  private let tokyo: Region
  private let groups = GroupSet(GroupRun(GroupID(1), through: GroupID(3)))

  init() throws { tokyo = try Region("tokyo") }

  /// A member of the region, which leads the region's stream in turn: the catalog's leader, or a learner.
  private func node(
    _ name: String, _ role: NodeConfiguration.Role = .leader, sharing stream: MemoryStream?,
    window: Duration = .milliseconds(400), mirrors: Bool = false
  ) async throws -> TestNode {
    let path = folder.appending(name)
    if case .leader = role, !FileManager.default.fileExists(atPath: path) {
      try EventLog.create(folder: path, catalog: testCatalog).releaseForWriting()
      try await enableRegionStreams(in: path, member: name, region: "tokyo")
    }
    let member = MemberOptions(name: try MemberName(name), region: tokyo)
    let node = try await TestNode(role, folder: path, region: "tokyo") { configuration in
      configuration.member = member
      configuration.member?.timeout = .seconds(60)
      configuration.leaderName = member.name
      if mirrors {
        configuration.mirroredRegions = [MirroredRegion(tokyo)]
      } else {
        configuration.ledRegions = [tokyo]
      }
      configuration.clocks.window = window
      configuration.clocks.renewEvery = .milliseconds(100)
      configuration.clocks.driftAllowance = .milliseconds(20)
      guard let stream else { return }
      configuration.regionLog = RegionPlacement { _, _ in stream }
      configuration.regionLog?.reportInterval = .milliseconds(20)
    }
    return node
  }

  private func change(_ node: TestNode, _ change: MembershipChange) async throws {
    try await node.client.submit(
      Command(id: .fresh(), actor: "test", reason: "a test", change: .membership(change)))
  }

  private func status(_ node: TestNode) async throws -> Cadastre_V1_RegionStatus {
    try #require(try await node.client.regions().regions.first)
  }

  /// The next timestamps, as soon as the leader issues any.
  private func next(_ node: TestNode) async throws -> HybridTimestampBatch {
    while true {
      if let batch = try? await node.client.nextTimestamps(10, of: GroupID(2)) { return batch }
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  @Test func whatBecameOfAnAppendComesOutAndNothingIsDoneTwice() async throws {
    let memory = MemoryCluster(name: "tokyo")
    let stream = memory.connect()
    let faults: [MemoryCluster.AppendFault] = [
      .unknown(isDone: true), .unknown(isDone: false), .unknownUntilTermEnds, .unavailable,
    ]
    try await withNode(try await node("tokyo-1", sharing: stream)) { node in
      try await until { (try? await node.client.lead(groups, in: tokyo)) != nil }
      var (last, commands) = (HybridTimestamp.zero, [CommandID]())
      for round in 0..<8 {
        let term = memory.leader?.term
        stream.fail(faults[round % faults.count])
        let id = try #require(TransactionID(bytes: [UInt8](repeating: UInt8(round + 1), count: 16)))
        let command = CommandID.fresh()
        commands.append(command)
        try await until {
          let begun = try? await node.client.begin(
            id, participants: groups, timeout: .seconds(60), in: tokyo, command: command,
            deadline: .seconds(5))
          return begun != nil
        }
        let batch = try await next(node)
        #expect(batch.first > last)
        last = batch.last
        if faults[round % faults.count] != .unavailable {
          try await until { memory.leader.map { $0.term > term ?? $0.term } ?? false }
        }
      }
      let entries = memory.entries
      #expect(Set(entries.map(\.entry.command)).count == entries.count)
      for command in commands {
        #expect(entries.count { $0.entry.command == command } == 1)
      }
      #expect(try await status(node).condition == "")
    }
    // What it has in its folder is what is shared.
    let log = try RegionEventLog.open(
      folder: RegionEventLog.folder(of: tokyo, in: folder.appending("tokyo-1")), region: tokyo,
      mode: .readOnly)
    let mine = try log.entries(from: LogPosition(1), maxCount: .max, maxBytes: .max)
    #expect(mine.map(\.hash) == memory.entries.map(\.hash))
  }

  /// What an entry says of who leads.
  private func terms(of memory: MemoryCluster, _ name: String) -> [LeaderTerm] {
    memory.entries.flatMap(\.entry.regionEvents).compactMap { event in
      if case .groupsLed(_, let term) = event, term.leader.name == name { term } else { nil }
    }
  }

  @Test func aStreamThatOneLedAloneIsTakenAlong() async throws {
    let memory = MemoryCluster(name: "tokyo")
    var before = HybridTimestamp.zero
    try await withNode(try await node("tokyo-1", sharing: nil)) { node in
      try await until { (try? await node.client.lead(groups, in: tokyo)) != nil }
      before = try await next(node).last
    }
    try await withNode(try await node("tokyo-1", sharing: memory.connect())) { node in
      #expect(try await next(node).first > before)
      let first = try #require(memory.entries.first)
      #expect(first.entry.position > LogPosition(2))
    }
    // Nobody leads it alone any more.
    let path = RegionEventLog.folder(of: tokyo, in: folder.appending("tokyo-1"))
    await #expect(throws: StoreError.ofCluster(folder: path, "tokyo")) {
      _ = try await node("tokyo-1", sharing: nil)
    }
  }

  @Test func theNextLeaderWaitsForLeasesThatMayRun() async throws {
    let memory = MemoryCluster(name: "tokyo")
    // Longer than a test may take.
    let window = Duration.seconds(1_000)
    try await withNode(
      try await node("tokyo-1", sharing: memory.connect(), window: window)
    ) { first in
      try await until { (try? await first.client.lead(groups, in: tokyo)) != nil }
      let issued = try await next(first).last
      let second = try await node(
        "tokyo-2", .learner(of: first.address), sharing: memory.connect(), window: window)
      try await withNode(second) { second in
        try await until { memory.progress.count == 2 }
        memory.endTerm()
        while memory.leader?.member.name.name != "tokyo-2" {
          try await until { memory.leader != nil }
          if memory.leader?.member.name.name != "tokyo-2" { memory.endTerm() }
          try await Task.sleep(for: .milliseconds(5))
        }
        try await until { !terms(of: memory, "tokyo-2").isEmpty }
        let old = try #require(terms(of: memory, "tokyo-1").last)
        let new = try #require(terms(of: memory, "tokyo-2").first)
        #expect(new.term > old.term)
        #expect(new.floor >= old.ceiling && new.floor > issued)
        #expect(new.wait == old.lease)
        try await until { try await status(second).ledGroups == 3 }
        let stamp = await refusal {
          try await second.client.nextTimestamps(1, of: GroupID(1))
        }
        #expect(stamp?.reason == "leader_waiting")
        let id = try #require(TransactionID(bytes: [UInt8](repeating: 1, count: 16)))
        let begin = await refusal {
          try await second.client.begin(
            id, participants: groups, timeout: .seconds(60), in: tokyo, command: .fresh())
        }
        #expect(begin?.reason == "leader_waiting")
      }
    }
  }

  @Test func oneThatComesLateTakesWhatIsNotSharedAnyMoreFromTheLeader() async throws {
    let memory = MemoryCluster(name: "tokyo")
    try await withNode(try await node("tokyo-1", sharing: memory.connect())) { first in
      try await change(
        first,
        .join(
          try MemberName("tokyo-1"), address: "\(first.address)", region: tokyo,
          capabilities: .known))
      try await until { (try? await first.client.lead(groups, in: tokyo)) != nil }
      let before = try await next(first)
      try await until { memory.entries.count > 5 }
      memory.trim(through: LogPosition(4))
      let second = try await node(
        "tokyo-2", .learner(of: first.address), sharing: memory.connect())
      try await withNode(second) { second in
        try await until { try await status(second).position > 5 }
        #expect(try await status(second).role == .mirror)
        // It leads when the lead is lost, above all that was issued.
        memory.endTerm()
        try await until { try await status(second).role == .leader }
        let after = try await next(second)
        #expect(after.first > before.last)
        try await until { try await status(first).role == .mirror }
      }
    }
  }

  @Test func whoHearsThatTheRegionWasLostLeadsNoMore() async throws {
    let memory = MemoryCluster(name: "tokyo")
    var last = HybridTimestamp.zero
    try await withNode(try await node("tokyo-1", sharing: memory.connect())) { node in
      try await until { (try? await node.client.lead(groups, in: tokyo)) != nil }
      last = try await next(node).last
      try await change(node, .declareLost(tokyo))
      try await until { memory.leader == nil }
      try await until { try await status(node).role == .fenced }
      await #expect(throws: NodeError.self) {
        try await node.client.nextTimestamps(1, of: GroupID(2))
      }
      let refused = await refusal { try await node.client.promote(tokyo, leaderStopped: true) }
      #expect(refused?.reason == "region_shared")
    }
    #expect(memory.leader == nil)
    // As a mirror the folder may be promoted, and goes on alone.
    try await withNode(try await node("tokyo-1", sharing: nil, mirrors: true)) { node in
      try await until {
        (try? await node.client.promote(tokyo, leaderStopped: true, deadline: .seconds(5))) != nil
      }
      #expect(try await next(node).first > last)
    }
  }
}
