import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// Three nodes of one catalog: its leader, and two learners that lead or mirror streams of regions.
@Suite(.timeLimit(.minutes(2))) struct RegionNodeTests {
  private let folder = TemporaryFolder()

  private func groups(_ range: ClosedRange<UInt64>) -> GroupSet {
    GroupSet(GroupRun(GroupID(range.lowerBound), through: GroupID(range.upperBound)))
  }

  private func configure(
    _ configuration: inout NodeConfiguration, _ name: String, _ region: String
  ) throws {
    var member = MemberOptions(name: try MemberName(name), region: try Region(region))
    member.timeout = .seconds(60)
    configuration.member = member
    configuration.leaderName = member.name
    configuration.clocks.window = .milliseconds(400)
    configuration.clocks.renewEvery = .milliseconds(100)
    configuration.clocks.driftAllowance = .milliseconds(20)
  }

  private func leader() async throws -> TestNode {
    let path = folder.appending("leader")
    try EventLog.create(folder: path, catalog: testCatalog).releaseForWriting()
    try await enableRegionStreams(in: path, member: "us-1", region: "us-east")
    let node = try await TestNode(.leader, folder: path, region: "us-east") {
      try? configure(&$0, "us-1", "us-east")
    }
    try await join(node, "us-1", "us-east", to: node)
    return node
  }

  /// Makes a node a member at once; by itself it would take its time.
  private func join(
    _ node: TestNode, _ name: String, _ region: String, to leader: TestNode
  ) async throws {
    try await change(
      leader,
      .join(
        try MemberName(name), address: "\(node.address)", region: try Region(region),
        capabilities: .known))
  }

  /// A learner, once it is a member that the leader knows.
  private func learner(
    _ name: String, _ region: String, of leader: TestNode,
    _ more: (inout NodeConfiguration) throws -> Void
  ) async throws -> TestNode {
    var failure: (any Error)?
    let node = try await TestNode(
      .learner(of: leader.address), folder: folder.appending(name), region: region
    ) { configuration in
      do {
        try configure(&configuration, name, region)
        try more(&configuration)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    try await join(node, name, region, to: leader)
    return node
  }

  private func change(_ node: TestNode, _ change: MembershipChange) async throws {
    try await node.client.submit(
      Command(id: .fresh(), actor: "test", reason: "a test", change: .membership(change)))
  }

  private func status(
    _ node: TestNode, of region: String
  ) async throws -> Cadastre_V1_RegionStatus? {
    try await node.client.regions().regions.first { $0.region == region }
  }

  /// The next timestamps, as soon as the leader issues any.
  private func next(
    _ node: TestNode, of group: UInt64, count: Int = 1
  ) async throws -> HybridTimestampBatch {
    while true {
      do throws(NodeError) {
        return try await node.client.nextTimestamps(count, of: GroupID(group))
      } catch {
        guard error.code == .unavailable || error.reason == "not_group_leader" else { throw error }
      }
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  @Test func aLostLeadersMirrorIsPromotedAboveAllThatItIssued() async throws {
    let tokyo = try Region("tokyo")
    try await withNode(try await leader()) { leader in
      let old = try await learner("tokyo-1", "tokyo", of: leader) { $0.ledRegions = [tokyo] }
      let mirror = try await learner("osaka-1", "osaka", of: leader) {
        $0.mirroredRegions = [MirroredRegion(tokyo)]
      }
      var last = HybridTimestamp.zero
      do {
        try await until { (try? await old.client.lead(groups(1...100), in: tokyo)) != nil }
        last = try await next(old, of: 7, count: 1000).last
        try await until {
          guard let status = try await status(mirror, of: "tokyo"), status.role == .mirror else {
            return false
          }
          return status.mirror.connected && status.mirror.hasStalenessMs && status.groups == 100
        }
        #expect(try await status(mirror, of: "tokyo")?.mirror.leaderAddress == "\(old.address)")
        // Not on a mere word, and not as long as the old folder could lead again.
        #expect(
          await refusal { try await mirror.client.promote(tokyo, leaderStopped: false) }?.reason
            == "leader_may_run")
        #expect(
          await refusal { try await mirror.client.promote(tokyo, leaderStopped: true) }?.reason
            == "region_not_lost")
        // Who mirrors the stream knows who leads.
        let elsewhere = await refusal {
          try await mirror.client.nextTimestamps(1, of: GroupID(7))
        }
        #expect(elsewhere?.detail?.leaderAddress == "\(old.address)")
      } catch {
        try? await old.stop()
        try? await mirror.stop()
        throw error
      }
      try await old.stop()
      try await change(leader, .declareLost(tokyo))
      var promoted = mirror
      try await until { mirror.core.store.current.membership.region(tokyo)?.status == .lost }
      let answer = try await mirror.client.promote(tokyo, leaderStopped: true)
      #expect(answer.epoch == 1 && HybridTimestamp(answer.floor) > last)
      #expect(try await next(mirror, of: 7).first >= HybridTimestamp(answer.floor))
      // A group that the mirror knows nothing of may have been led all the same.
      _ = try await mirror.client.lead(groups(500...500), in: tokyo)
      #expect(try await next(mirror, of: 500).first >= HybridTimestamp(answer.floor))
      // It stays the leader when it starts again, and the old one finds itself fenced.
      try await mirror.stop()
      promoted = try await learner("osaka-1", "osaka", of: leader) {
        $0.mirroredRegions = [MirroredRegion(tokyo)]
      }
      _ = try await next(promoted, of: 7)
      let returned = try await learner("tokyo-1", "tokyo", of: leader) { $0.ledRegions = [tokyo] }
      try await until { try await status(returned, of: "tokyo")?.role == .fenced }
      let fenced = await refusal { try await returned.client.lead(groups(1...1), in: tokyo) }
      #expect(fenced?.reason == "region_fenced")
      // It does not know who leads since, and asks.
      try await until {
        let error = await refusal {
          try await returned.client.nextTimestamps(1, of: GroupID(7))
        }
        #expect(error != nil)
        return error?.detail?.leaderAddress == "\(promoted.address)"
      }
      try await returned.stop()
      try await promoted.stop()
    }
  }

  /// A mirror that was there first, and has nothing, waits for a stream and does not keep it from
  /// beginning.
  @Test func anEmptyMirrorKeepsNoStreamFromBeginning() async throws {
    let tokyo = try Region("tokyo")
    try await withNode(try await leader()) { leader in
      let mirror = try await learner("osaka-1", "osaka", of: leader) {
        $0.mirroredRegions = [MirroredRegion(tokyo)]
      }
      try await until { try await status(mirror, of: "tokyo")?.role == .mirror }
      let first = try await learner("tokyo-1", "tokyo", of: leader) { $0.ledRegions = [tokyo] }
      try await until { (try? await first.client.lead(groups(1...1), in: tokyo)) != nil }
      _ = try await next(first, of: 1)
      try await until { try await status(mirror, of: "tokyo")?.groups == 1 }
      try await first.stop()
      try await mirror.stop()
    }
  }

  @Test func groupsFollowTheirHomesAndTheirClocksOnlyRise() async throws {
    let (tokyo, osaka) = (try Region("tokyo"), try Region("osaka"))
    try await withNode(try await leader()) { leader in
      let ids = (UInt64(1)...9).map { GroupID($0) }
      try await change(leader, .setHomes(ids, tokyo, evenIfViolating: false))
      let first = try await learner("tokyo-1", "tokyo", of: leader) { $0.ledRegions = [tokyo] }
      _ = try await next(first, of: 2, count: 1000)
      // The old home goes on until there is somebody at the new one.
      try await change(leader, .setHomes([ids[1], ids[2]], osaka, evenIfViolating: false))
      try await until { first.core.store.current.membership.home(of: ids[1]) == osaka }
      let before = try await next(first, of: 2, count: 1000)
      let refused = await refusal { try await first.client.lead(groups(2...2), in: tokyo) }
      #expect(refused?.reason == "home_elsewhere")
      let second = try await learner("osaka-1", "osaka", of: leader) { $0.ledRegions = [osaka] }
      let after = try await next(second, of: 2)
      #expect(after.first > before.last)
      _ = try await next(first, of: 1)
      // Who is asked at the wrong place says where the right one is, and the client goes there, once.
      let elsewhere = await refusal { try await first.client.nextTimestamps(1, of: GroupID(2)) }
      #expect(elsewhere?.reason == "not_group_leader")
      #expect(elsewhere?.detail?.leader == "osaka-1")
      #expect(elsewhere?.detail?.leaderAddress == "\(second.address)")
      let found = try await NodeClient.atLeader(from: leader.address) {
        try await $0.nextTimestamps(1, of: GroupID(2))
      }
      #expect(found.first > after.last)
      // And back, above what the other issued meanwhile.
      try await change(leader, .setHomes([ids[1]], tokyo, evenIfViolating: false))
      try await until {
        let clocks = try await leader.client.clocks(of: groups(2...2))
        return clocks.map(\.leader) == ["tokyo-1"]
      }
      #expect(try await next(first, of: 2).first > found.last)
      #expect(
        await refusal { try await second.client.nextTimestamps(1, of: GroupID(2)) }?.reason
          == "not_group_leader")
      try await second.stop()
      try await first.stop()
    }
  }

  @Test func streamsAreOffUntilTheyAreEnabled() async throws {
    let tokyo = try Region("tokyo")
    let path = folder.appending("off")
    try EventLog.create(folder: path, catalog: testCatalog).releaseForWriting()
    let name = try MemberName("us-1")
    let node = try await TestNode(.leader, folder: path) {
      $0.ledRegions = [tokyo]
      $0.leaderName = name
    }
    try await withNode(node) { node in
      let off = await refusal { try await node.client.lead(groups(1...9), in: tokyo) }
      #expect(off?.reason == "capability_not_enabled")
      #expect(off?.detail?.remedy.contains("members enable cap_region_streams_v1") == true)
      for change in enablingRegionStreams(member: name, region: tokyo) {
        try await self.change(node, change)
      }
      #expect(try await node.client.lead(groups(1...9), in: tokyo).term == 1)
    }
  }
}
