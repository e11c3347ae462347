import CadastreClient
import Catalog
import ClusterSupport
import EtcdSupport
import Foundation
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// Members that take what others append from a peer, as far as the shared stream vouches for it.
@Suite(.timeLimit(.minutes(5))) struct PeerFollowingTests {
  private func received(_ member: TestMember, from peer: NodeAddress) -> UInt64 {
    let receipts = member.node.core.learner?.upstream.received ?? []
    return receipts.first { $0.address == "\(peer)" }?.entries ?? 0
  }

  private func follow(_ source: TailSource, _ options: inout ClusterOptions) {
    options.followFrom = source
    options.tail.behindLimit = .milliseconds(200)
    options.tail.firstPause = .milliseconds(50)
    options.tail.maximumPause = .milliseconds(100)
  }

  private func expectEqual(_ cluster: TestCluster, _ members: [TestMember]) async throws {
    let last = try #require(cluster.memory.entries.last)
    for member in members {
      try await until { member.state.appliedThrough >= last.entry.position }
      #expect(member.state.lastHash == last.hash)
      #expect(member.state.header == members[0].state.header)
      #expect(member.node.core.divergence == nil)
    }
  }

  @Test func whoeverLeadsIsFollowedAndTheLeadGoesOn() async throws {
    let cluster = TestCluster()
    try await cluster.run("a", "b", "c", configure: { follow(.leader, &$1) }) { members in
      var term: ClusterTerm?
      for round in 0..<3 {
        let leader = try await cluster.leader(of: members, after: term)
        term = cluster.memory.leader?.term
        if round == 0 { try await leader.insist(.test(oneRoute)) }
        for member in members where member.name != leader.name {
          let before = received(member, from: leader.node.address)
          try await until {
            // Until the peer is tried again that was lost with the lead.
            try await members[round].insist(.test(split("\(UUID())")))
            return received(member, from: leader.node.address) > before
          }
        }
        try await expectEqual(cluster, members)
        cluster.memory.endTerm()
      }
    }
  }

  @Test func thePeerMayBeGoneOrBehind() async throws {
    let cluster = TestCluster()
    try await cluster.run("a", "b") { members in
      try await members[0].insist(.test(oneRoute))
      let leader = try await cluster.leader(of: members)
      let peer = try #require(members.first { $0.name != leader.name })
      let member = try await cluster.start("c") { [address = peer.node.address] in
        follow(.peers([address]), &$1)
      }
      try await withNode(member.node) { _ in
        try await until {
          try await leader.insist(.test(split("\(UUID())")))
          return received(member, from: peer.node.address) > 0
        }
        // It serves what it has, and hears nothing new.
        peer.stream.setCut(true)
        let missed = try await leader.insist(.test(split("behind")))
        try await until { member.state.appliedThrough >= missed.position }
        peer.stream.setCut(false)
        let before = received(member, from: peer.node.address)
        try await until {
          try await leader.insist(.test(split("\(UUID())")))
          return received(member, from: peer.node.address) > before
        }
        try await peer.stop()
        let last = try await leader.insist(.test(split("gone")))
        try await until { member.state.appliedThrough >= last.position }
        try await expectEqual(cluster, [leader, member])
      }
    }
  }

  @Test func aPeerWithAnotherHistoryIsRefused() async throws {
    let cluster = TestCluster()
    let folder = TemporaryFolder()
    // The same catalog, other entries: chained, and with the digests that they make.
    let forger = try await TestNode.leader(folder)
    try await withNode(forger) { _ in
      _ = try await forger.client.submit(.test(oneRoute))
      for text in ["x", "y", "z"] { _ = try await forger.client.submit(.test(split(text))) }
      try await cluster.run("a") { members in
        try await members[0].insist(.test(oneRoute))
        for text in ["d", "k"] { try await members[0].insist(.test(split(text))) }
        let member = try await cluster.start("b") { follow(.peers([forger.address]), &$1) }
        try await withNode(member.node) { _ in
          try await expectEqual(cluster, members + [member])
          for text in ["p", "q", "r", "s"] { try await members[0].insist(.test(split(text))) }
          try await expectEqual(cluster, members + [member])
          #expect(received(member, from: forger.address) == 0)
        }
      }
    }
  }
}

/// The same as processes, with a real etcd.
@Suite(.timeLimit(.minutes(5))) struct PeerFollowingProcessTests {
  /// What a node says of itself, as soon as it does.
  private func status(_ node: ServedNode) async throws -> NodeStatus {
    while true {
      let status = try? await NodeClient.with(node.address) {
        try await $0.status(deadline: .seconds(5))
      }
      if let status { return status }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  @Test func aKilledPeerIsReplacedByEtcdAndNothingIsMissing() async throws {
    try await withTemporaryFolder { folder in
      let etcd = try EtcdServers()
      let log = "etcd://\(etcd.endpoints[0])/prod"
      func node(_ name: String, _ more: String...) -> ServedNode {
        ServedNode(
          name, in: folder,
          [
            "--log", log, "--folder", folder.appending(path: name).path, "--member", name,
            "--region", "home",
          ] + more)
      }
      let (leader, peer) = (node("a"), node("b"))
      let member = node("c", "--follow-from", "\(peer.address)")
      #expect(try await cadastre("cluster", "init", leader.folder, "--log", log).status == 0)
      try await leader.start()
      try await until { try await status(leader).role == .leader }
      try await peer.start()
      try await member.start()
      func write(_ count: Int, _ prefix: String) async throws {
        try await NodeClient.with(member.address) { client in
          for number in 0..<count {
            let command = Command.test(split("\(prefix)\(number)"))
            try await until {
              (try? await client.submit(command, deadline: .seconds(20))) != nil
            }
          }
        }
      }
      try await write(20, "a")
      try await until {
        let upstream = try await status(member).learner?.upstream
        return upstream?.way == ["\(peer.address)"]
          && (upstream?.received.first?.entries ?? 0) >= 20
      }
      async let more: Void = write(40, "b")
      try await peer.kill()
      try await more
      let last = try await status(leader)
      try await until { try await status(member).position >= last.position }
      let now = try await status(member)
      #expect(now.headHash == last.headHash)
      #expect(now.digest == last.digest)
      #expect(now.learner?.upstream.way == [])
      for node in [member, leader] { try await node.stop() }
      #expect(try await cadastre("verify", "--log", member.folder).status == 0)
    }
  }
}
