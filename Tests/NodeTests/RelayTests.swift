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

/// Regions whose learners feed each other, far from the leader.
@Suite(.timeLimit(.minutes(5))) struct RelayTests {
  /// A region: its learners in their order, behind one network.
  private struct Region {
    let name: String
    let network: NetworkProxy
    let addresses: [NodeAddress]
    let folder: TemporaryFolder
    /// nil while it is down.
    var learners: [TestNode?]

    init(_ name: String, of leader: TestNode, count: Int, seed: UInt64) throws {
      self.name = name
      network = try NetworkProxy(to: leader.address, .wideArea, seed: seed)
      addresses = (0..<count).map { _ in NodeAddress(host: "127.0.0.1", port: quietPort()) }
      folder = TemporaryFolder()
      learners = Array(repeating: nil, count: count)
    }

    mutating func start(_ index: Int) async throws {
      learners[index] = try await RelayTests.start(self, index)
    }

    mutating func startAll() async throws {
      let region = self
      let started = try await withThrowingTaskGroup(of: (Int, TestNode).self) { group in
        for index in addresses.indices {
          group.addTask { (index, try await RelayTests.start(region, index)) }
        }
        return try await group.reduce(into: [Int: TestNode]()) { $0[$1.0] = $1.1 }
      }
      for (index, learner) in started { learners[index] = learner }
    }

    mutating func stop(_ index: Int) async throws {
      try await learners[index]?.stop()
      learners[index] = nil
    }

    mutating func stopAll() async throws {
      network.stop()
      for index in learners.indices { try await stop(index) }
    }

    /// Whom a learner follows: an index in the region, or nil for the leader.
    func upstream(_ index: Int) -> Int? {
      guard let way = learners[index]?.core.upstreams?.status.way, way.count > 1 else { return nil }
      return addresses.firstIndex { "\($0)" == way[0] }
    }

    /// Waits until each learner that is up follows the first that is, which follows the leader.
    func settle() async throws {
      let up = learners.indices.filter { learners[$0] != nil }
      try await until {
        up.allSatisfy { index in
          let learner = learners[index]?.core
          return upstream(index) == (index == up[0] ? nil : up[0])
            && learner?.upstreams?.status.isRelay == (index == up[0])
            && learner?.takesCommands == true
        }
      }
    }

    /// What all its learners received, from the leader and from each other.
    func received() -> (far: UpstreamStatus.Receipts, near: UpstreamStatus.Receipts) {
      var sums = (
        far: UpstreamStatus.Receipts(address: "leader"),
        near: UpstreamStatus.Receipts(address: "others")
      )
      for learner in learners {
        for receipts in learner?.core.upstreams?.status.received ?? [] {
          if receipts.address == "\(network.address)" {
            sums.far.entries += receipts.entries
            sums.far.bytes += receipts.bytes
          } else {
            sums.near.entries += receipts.entries
            sums.near.bytes += receipts.bytes
          }
        }
      }
      return sums
    }
  }

  private static func start(_ region: Region, _ index: Int) async throws -> TestNode {
    try await TestNode(
      .learner(of: region.network.address), folder: region.folder.appending("\(index)"),
      port: region.addresses[index].port, region: region.name
    ) {
      $0.regionLearners = region.addresses
      $0.following.probeInterval = .milliseconds(100)
      $0.following.lookInterval = .milliseconds(50)
      $0.following.upstream.settleTime = .milliseconds(200)
      $0.limits.patience = .seconds(60)
    }
  }

  private func cut(_ number: Int, width: Int = 4) -> RouteChange {
    .split(
      (0..<width).map {
        SplitRequest(
          at: Key(unchecked: [UInt8(number), UInt8($0)] + Array(repeating: 7, count: 3000)))
      })
  }

  private func expectEqual(_ region: Region, _ leader: TestNode) async throws {
    let state = leader.core.store.current
    for case let learner? in region.learners {
      _ = try await learner.core.store.wait { $0.appliedThrough >= state.appliedThrough }
      #expect(learner.core.store.current.header == state.header)
    }
  }

  @Test func eachEntryCrossesTheWideAreaNetworkOnce() async throws {
    try await withLeader { leader in
      try await leader.client.submit(.test(oneRoute))
      var regions = [
        try Region("eu-west", of: leader, count: 3, seed: 1),
        try Region("us-east", of: leader, count: 2, seed: 2),
        try Region("ap-south", of: leader, count: 2, seed: 3),
      ]
      for index in regions.indices { try await regions[index].startAll() }
      for region in regions {
        try await region.settle()
        try await expectEqual(region, leader)
      }
      let before = regions.map { ($0.received(), $0.network.byteCount) }
      let position = leader.core.store.current.appliedThrough
      for number in 0..<30 { try await leader.client.submit(.test(cut(number))) }
      for region in regions { try await expectEqual(region, leader) }
      let count = leader.core.store.current.appliedThrough.rawValue - position.rawValue
      for (region, before) in zip(regions, before) {
        let after = region.received()
        let copies = UInt64(region.addresses.count)
        #expect(after.far.entries - before.0.far.entries == count, "\(region.name)")
        let near = after.near.entries - before.0.near.entries
        #expect(near == count * (copies - 1), "\(region.name)")
        let bytes = after.far.bytes - before.0.far.bytes
        #expect(after.near.bytes - before.0.near.bytes == bytes * (copies - 1), "\(region.name)")
        // On the line too, with what goes along.
        let crossed = region.network.byteCount - before.1
        #expect((bytes..<bytes * 2).contains(crossed), "\(region.name): \(crossed) for \(bytes)")
      }
      for index in regions.indices { try await regions[index].stopAll() }
    }
  }

  @Test func anotherTakesOverUntilTheFirstIsBack() async throws {
    try await withLeader { leader in
      try await leader.client.submit(.test(oneRoute))
      var region = try Region("eu-west", of: leader, count: 3, seed: 4)
      try await region.startAll()
      try await region.settle()
      try await leader.client.submit(.test(cut(1)))
      try await expectEqual(region, leader)
      let status = try await region.learners[2]?.client.status()
      let way = [region.addresses[0], region.network.address].map(\.description)
      #expect(status?.learner?.upstream.way == way)
      #expect(status?.learner?.upstream.reason == "the first of the region's learners")

      try await region.stop(0)
      try await leader.client.submit(.test(cut(2)))
      try await region.settle()
      try await expectEqual(region, leader)
      let reason = try await region.learners[1]?.client.status().learner?.upstream.reason
      #expect(reason?.contains("\(region.addresses[0])") == true)
      // Commands find the leader all the same, and go past the relay.
      let receipt = try await region.learners[2]?.client.submit(.test(cut(3)))
      #expect(receipt?.version == leader.core.store.current.version)

      try await region.start(0)
      try await region.settle()
      let before = region.received()
      try await leader.client.submit(.test(cut(4)))
      try await expectEqual(region, leader)
      let after = region.received()
      #expect(after.far.entries - before.far.entries == 1)
      #expect(after.near.entries - before.near.entries == 2)
      try await region.stopAll()
    }
  }

  /// What a reader demands is answered by the mirror that it asked, or refused there.
  @Test func readsEndAtTheOwnMirror() async throws {
    try await withLeader { leader in
      try await leader.client.submit(.test(oneRoute))
      var region = try Region("eu-west", of: leader, count: 2, seed: 5)
      try await region.startAll()
      try await region.settle()
      let mirror = try #require(region.learners[1])
      // What was written through it is read from it by passing the version on.
      let receipt = try await mirror.client.submit(.test(split("k")))
      let own = try await mirror.client.resolve(
        Key("k"), demand: ReadDemand(minimumVersion: receipt.version))
      #expect(own.value.id == receipt.newRoutes.first && own.stamp.version >= receipt.version)
      let fresh = try await mirror.client.resolve(
        Key("k"), demand: ReadDemand(maximumStaleness: .seconds(60)))
      #expect((fresh.stamp.staleness ?? .seconds(99)) <= .seconds(60))

      region.network.cut()
      try await leader.client.submit(.test(split("x")))
      // What is here is answered here.
      let version = mirror.core.store.current.version
      let old = try await mirror.client.resolve(
        Key("x"), demand: ReadDemand(minimumVersion: version, maximumStaleness: .seconds(60)))
      #expect(old.stamp.version == version && old.value.id == receipt.newRoutes.first)
      // What is not here is refused here, though the leader has it.
      let missing = await refusal {
        try await mirror.client.resolve(
          Key("x"), demand: ReadDemand(minimumVersion: version.next),
          deadline: .seconds(2))
      }
      #expect(missing?.reason == "behind" && missing?.detail?.catalogVersion == version.rawValue)
      try await until {
        let stale = await refusal {
          try await mirror.client.resolve(
            Key("x"), demand: ReadDemand(maximumStaleness: .milliseconds(200)),
            deadline: .milliseconds(100))
        }
        return stale?.reason == "behind"
      }
      let lost = await refusal {
        try await mirror.client.submit(.test(split("y")), deadline: .seconds(20))
      }
      #expect(lost?.code == .unavailable)

      region.network.mend()
      try await region.settle()
      try await expectEqual(region, leader)
      let found = try await mirror.client.resolve(
        Key("x"), demand: ReadDemand(minimumVersion: leader.core.store.current.version))
      #expect(found.value.span.lower == Key("x"))
      try await region.stopAll()
    }
  }

  @Test func aSlowNetworkThatLosesAndStallsDelaysAndNothingElse() async throws {
    for seed in testSeeds(count: 1) {
      try await withLeader { leader in
        try await leader.client.submit(.test(oneRoute))
        let network = try NetworkProxy(
          to: leader.address,
          NetworkConditions(
            delay: .milliseconds(50), jitter: .milliseconds(50), bytesPerSecond: 1 << 20,
            losesOneIn: 20, retransmission: .milliseconds(200)), seed: seed)
        let folder = TemporaryFolder()
        let learner = try await TestNode(
          .learner(of: network.address), folder: folder.appending("learner")
        ) {
          $0.apply(.wan)
          $0.following.probeInterval = .milliseconds(100)
        }
        try await withNode(learner) { learner in
          for number in 0..<40 {
            try await leader.client.submit(.test(cut(number)))
            if number == 10 { network.stall() }
            if number == 20 { network.resume() }
            if number == 30 { network.cut() }
            if number == 35 { network.mend() }
          }
          let state = leader.core.store.current
          _ = try await learner.core.store.wait { $0.appliedThrough >= state.appliedThrough }
          #expect(learner.core.store.current.header == state.header, "seed \(seed)")
          network.stop()
        }
      }
    }
  }

  /// A relay that is killed, as a process, and started again.
  @Test func aKilledRelayIsReplaced() async throws {
    try await withLeader { leader in
      try await leader.client.submit(.test(oneRoute))
      let folder = TemporaryFolder()
      let addresses = (0..<2).map { _ in
        NodeAddress(host: "127.0.0.1", port: quietPort())
      }
      let order = addresses.map(\.description).joined(separator: ",")
      func relay() throws -> CadastreProcess {
        try CadastreProcess([
          "serve", "--log", folder.appending("relay"), "--listen", "\(addresses[0])", "--follow",
          "\(leader.address)", "--relay", order, "--probe-every", "50ms",
        ])
      }
      var process = try relay()
      let second = try await TestNode(
        .learner(of: leader.address), folder: folder.appending("second"), port: addresses[1].port
      ) {
        $0.regionLearners = addresses
        $0.following.lookInterval = .milliseconds(50)
        $0.following.upstream.settleTime = .milliseconds(200)
      }
      try await withNode(second) { second in
        let upstreams = try #require(second.core.upstreams)
        for round in 1...2 {
          try await until { upstreams.status.way.first == "\(addresses[0])" }
          try await leader.client.submit(.test(cut(2 * round)))
          try await reach(second, leader.core.store.current.version)
          process.signal(SIGKILL)
          _ = try await process.wait()
          try await leader.client.submit(.test(cut(2 * round + 1)))
          try await reach(second, leader.core.store.current.version)
          #expect(upstreams.status.isRelay)
          process = try relay()
        }
        // Not ended before it takes note of signals.
        try await until { upstreams.status.way.first == "\(addresses[0])" }
        #expect(second.core.store.current.header == leader.core.store.current.header)
        let received = upstreams.status.received
        let sources = Set(received.map(\.address))
        #expect(sources == ["\(addresses[0])", "\(leader.address)"])
      }
      let ended = try await process.stop()
      #expect(ended.status == 0, "\(ended.status) \(ended.errors)")
    }
  }

  /// Without an order of their own, learners that are members follow the order of the members.
  @Test func theCatalogSaysWhoRelays() async throws {
    try await withLeader { leader in
      try await leader.client.submit(.test(oneRoute))
      try await leader.client.submit(.test(.membership(.enable(.members))))
      let folder = TemporaryFolder()
      func member(_ name: String, ranked: Bool = false) async throws -> TestNode {
        let address = NodeAddress(host: "127.0.0.1", port: quietPort())
        let options = MemberOptions(
          name: try MemberName(name), region: try Catalog.Region("eu-west"))
        return try await TestNode(
          .learner(of: leader.address), folder: folder.appending(name), port: address.port,
          region: "eu-west"
        ) {
          $0.member = options
          $0.member?.timeout = .milliseconds(200)
          $0.regionLearners = ranked ? [address] : []
          $0.following.lookInterval = .milliseconds(50)
          $0.following.upstream.settleTime = .milliseconds(100)
        }
      }
      func follows(_ learner: TestNode, _ upstream: TestNode?) -> Bool {
        let way = learner.core.upstreams?.status.way ?? []
        return way == ([upstream].compactMap(\.self) + [leader]).map { "\($0.address)" }
      }
      let second = try await member("eu-2")
      let first = try await member("eu-1")
      try await until { follows(second, first) && follows(first, nil) }
      try await until { first.core.upstreams?.status.isRelay == true }
      // One that was told an order keeps to it.
      let told = try await member("eu-9", ranked: true)
      let name = try MemberName("eu-9")
      try await until { told.core.store.current.membership.member(name) != nil }
      #expect(follows(told, nil))
      // Who has left relays no more.
      try await first.stop()
      try await leader.client.submit(.test(.membership(.leave(try MemberName("eu-1")))))
      try await until { follows(second, nil) && second.core.upstreams?.status.isRelay == true }
      let zeroth = try await member("eu-0")
      try await until { follows(second, zeroth) && follows(zeroth, nil) }
      #expect(follows(told, nil))
      for node in [told, second, zeroth] { try await node.stop() }
      withExtendedLifetime(folder) {}
    }
  }

  @Test func anOrderThatLeavesOutTheNodeItselfIsRefused() async throws {
    let ended = try await cadastre(
      "serve", "--log", "/nowhere/mirror", "--listen", "127.0.0.1:7171", "--follow",
      "127.0.0.1:7070", "--relay", "127.0.0.1:7172,127.0.0.1:7173", "--json")
    #expect(ended.status != 0)
    #expect(try ended.error["message"].string.contains("127.0.0.1:7171 is not among"))
    let leading = try await cadastre("serve", "--log", "/nowhere", "--relay", "127.0.0.1:1")
    #expect(leading.status == 2)
    let help = try await cadastre("serve", "--help")
    #expect(help.output.contains("keepalive 20s + 10s"))
  }
}
