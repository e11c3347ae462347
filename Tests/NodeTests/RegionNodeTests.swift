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
@Suite(.timeLimit(.minutes(5))) struct RegionNodeTests {
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

  /// A learner, once it is a member that the leader knows. It follows the leader by way of `proxy`.
  private func learner(
    _ name: String, _ region: String, of leader: TestNode, through proxy: NodeAddress? = nil,
    _ more: (inout NodeConfiguration) throws -> Void
  ) async throws -> TestNode {
    var failure: (any Error)?
    let node = try await TestNode(
      .learner(of: proxy ?? leader.address), folder: folder.appending(name), region: region
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

  /// A leader that is cut off from the catalog stops by itself; once it has, a mirror leads on nobody's
  /// word, and not before.
  @Test func aLeaderThatIsCutOffStopsBeforeAMirrorIsPromoted() async throws {
    let tokyo = try Region("tokyo")
    let limit = Duration.seconds(3)
    try await withNode(try await leader()) { leader in
      try await change(leader, .enable(.regionClaims))
      let proxy = try NetworkProxy(to: leader.address)
      defer { proxy.stop() }
      let old = try await learner("tokyo-1", "tokyo", of: leader, through: proxy.address) {
        $0.ledRegions = [tokyo]
        $0.clocks.catalogLimit = limit
      }
      let mirror = try await learner("osaka-1", "osaka", of: leader) {
        $0.mirroredRegions = [MirroredRegion(tokyo)]
      }
      try await until { (try? await old.client.lead(groups(1...100), in: tokyo)) != nil }
      // What others may count on is on record before anything is issued.
      let claim = try #require(leader.core.store.current.membership.claim(tokyo))
      #expect(claim.member.name == "tokyo-1" && claim.epoch == 0)
      #expect(claim.limit == Milliseconds(3_000))
      #expect(try await status(old, of: "tokyo")?.catalogLimitMs == 3_000)
      _ = try await next(old, of: 7)
      try await until {
        let status = try await status(mirror, of: "tokyo")
        return status?.mirror.connected == true && status?.groups == 100
      }
      let isDone = Shared(false)
      let issuing = Task {
        var issued: [HybridTimestampBatch] = []
        while !isDone.value {
          if let batch = try? await old.client.nextTimestamps(3, of: GroupID(7)) {
            issued.append(batch)
          }
          try await Task.sleep(for: .milliseconds(5))
        }
        return issued
      }
      proxy.cut()
      try await change(leader, .declareLost(tokyo))
      try await until { mirror.core.store.current.membership.region(tokyo)?.status == .lost }
      let early = await refusal { try await mirror.client.promote(tokyo, leaderStopped: false) }
      #expect(early?.reason == "leader_may_run")
      #expect(early?.message.contains("tokyo-1 may lead region tokyo for another") == true)
      #expect(early?.detail?.remedy.contains("--leader-stopped") == true)
      var answer: Cadastre_V1_PromoteRegionResponse?
      try await until {
        answer = try? await mirror.client.promote(tokyo, leaderStopped: false)
        return answer != nil
      }
      let promoted = try #require(answer)
      // The other has stopped, says why, and decides nothing either.
      let stopped = await refusal { try await old.client.nextTimestamps(1, of: GroupID(7)) }
      #expect(stopped?.code == .unavailable && stopped?.reason == "catalog_unheard")
      #expect(stopped?.message.contains("at most 3000 ms without") == true)
      let led = await refusal { try await old.client.lead(groups(101...101), in: tokyo) }
      #expect(led?.reason == "catalog_unheard")
      #expect(try await status(old, of: "tokyo")?.condition.contains("newest catalog") == true)
      let first = try await next(mirror, of: 7).first
      isDone.change { $0 = true }
      let issued = try await issuing.value
      #expect(!issued.isEmpty && zip(issued, issued.dropFirst()).allSatisfy { $0.last < $1.first })
      #expect(issued.allSatisfy { $0.last < HybridTimestamp(promoted.floor) })
      #expect(first >= HybridTimestamp(promoted.floor) && promoted.epoch == 1)
      #expect(leader.core.store.current.membership.claim(tokyo)?.member.name == "osaka-1")
      // Back on the network it finds itself fenced.
      proxy.mend()
      try await until { try await status(old, of: "tokyo")?.role == .fenced }
      try await old.stop()
      try await mirror.stop()
    }
  }

  /// A network that is cut for less than the limit stops nothing for good, and needs nobody.
  @Test func aLeaderGoesOnOnceItKnowsTheCatalogAgain() async throws {
    let tokyo = try Region("tokyo")
    try await withNode(try await leader()) { leader in
      try await change(leader, .enable(.regionClaims))
      let proxy = try NetworkProxy(to: leader.address)
      defer { proxy.stop() }
      let node = try await learner("tokyo-1", "tokyo", of: leader, through: proxy.address) {
        $0.ledRegions = [tokyo]
        $0.clocks.catalogLimit = .seconds(1)
      }
      try await until { (try? await node.client.lead(groups(1...1), in: tokyo)) != nil }
      let before = try await next(node, of: 1).last
      proxy.cut()
      try await until {
        await refusal { try await node.client.nextTimestamps(1, of: GroupID(1)) }?.reason
          == "catalog_unheard"
      }
      proxy.mend()
      #expect(try await next(node, of: 1).first > before)
      #expect(try await status(node, of: "tokyo")?.role == .leader)
      try await node.stop()
    }
  }

  /// One mirror leads in an epoch, unless an operator says that it has stopped: then that one is fenced.
  @Test func twoMirrorsAreNotPromotedUnderOneEpoch() async throws {
    let tokyo = try Region("tokyo")
    try await withNode(try await leader()) { leader in
      try await change(leader, .enable(.regionClaims))
      let old = try await learner("tokyo-1", "tokyo", of: leader) { $0.ledRegions = [tokyo] }
      try await until { (try? await old.client.lead(groups(1...3), in: tokyo)) != nil }
      var mirrors: [TestNode] = []
      for name in ["osaka", "kyoto"] {
        let mirror = try await learner("\(name)-1", name, of: leader) {
          $0.mirroredRegions = [MirroredRegion(tokyo)]
        }
        try await until { try await status(mirror, of: "tokyo")?.groups == 3 }
        mirrors.append(mirror)
      }
      try await old.stop()
      try await change(leader, .declareLost(tokyo))
      for mirror in mirrors {
        try await until { mirror.core.store.current.membership.region(tokyo)?.status == .lost }
      }
      // No limit was claimed: it takes somebody's word, however long it was.
      let refused = await refusal {
        try await mirrors[0].client.promote(tokyo, leaderStopped: false)
      }
      #expect(refused?.reason == "leader_may_run")
      #expect(refused?.message.contains("--catalog-limit") == true)
      _ = try await mirrors[0].client.promote(tokyo, leaderStopped: true)
      _ = try await next(mirrors[0], of: 1)
      try await until {
        mirrors[1].core.store.current.membership.claim(tokyo)?.member.name == "osaka-1"
      }
      let second = await refusal {
        try await mirrors[1].client.promote(tokyo, leaderStopped: false)
      }
      #expect(second?.reason == "leader_may_run")
      _ = try await mirrors[1].client.promote(tokyo, leaderStopped: true)
      try await until { try await status(mirrors[0], of: "tokyo")?.role == .fenced }
      _ = try await next(mirrors[1], of: 1)
      // And back, on somebody's word again.
      _ = try await mirrors[0].client.promote(tokyo, leaderStopped: true)
      try await until { try await status(mirrors[1], of: "tokyo")?.role == .fenced }
      #expect(try await status(mirrors[0], of: "tokyo")?.role == .leader)
      for mirror in mirrors { try await mirror.stop() }
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

  /// A mirror that entries no longer lead to takes over the state, and knows the commands before it.
  @Test func commandsComeOverTheWireWithAState() async throws {
    let tokyo = try Region("tokyo")
    try await withNode(try await leader()) { leader in
      let first = try await learner("tokyo-1", "tokyo", of: leader) {
        $0.ledRegions = [tokyo]
        $0.regionStore.retainedEntryCount = 4
      }
      try await until { (try? await first.client.lead(groups(1...3), in: tokyo)) != nil }
      // Renewals are entries, too.
      try await until { try await status(first, of: "tokyo")?.position ?? 0 > 20 }
      let mirror = try await learner("osaka-1", "osaka", of: leader) {
        $0.mirroredRegions = [MirroredRegion(tokyo)]
      }
      try await until { try await status(mirror, of: "tokyo")?.groups == 3 }
      #expect(try await status(mirror, of: "tokyo")?.mirror.resets ?? 0 > 0)
      let (_, known) = try await first.client.fetchRegionState(of: testCatalog, tokyo)
      let (state, mirrored) = try await mirror.client.fetchRegionState(of: testCatalog, tokyo)
      #expect(mirrored.records.map(\.position.rawValue) == Array(1...state.appliedThrough.rawValue))
      #expect(mirrored.records.prefix(12) == known.records.prefix(12))
      #expect(mirrored.records.first?.fingerprint != nil)
      try await mirror.stop()
      try await first.stop()
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
      // A node finds out by asking the others, of which one may be slow.
      try await until {
        let elsewhere = await refusal {
          try await first.client.nextTimestamps(1, of: GroupID(2))
        }
        #expect(elsewhere?.reason == "not_group_leader")
        return elsewhere?.detail?.leader == "osaka-1"
          && elsewhere?.detail?.leaderAddress == "\(second.address)"
      }
      var answer: HybridTimestampBatch?
      try await until {
        answer = try? await NodeClient.atLeader(from: leader.address) {
          try await $0.nextTimestamps(1, of: GroupID(2))
        }
        return answer != nil
      }
      let found = try #require(answer)
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
