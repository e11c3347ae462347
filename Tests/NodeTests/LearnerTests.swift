import CadastreClient
import CadastreProtocol
import Catalog
import EtcdSupport
import Foundation
import GRPCCore
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

@Suite(.oneEtcd, .timeLimit(.minutes(5))) struct LearnerTests {
  /// Runs a learner of `leader` in `folder` for as long as `body` takes.
  private func withLearner(
    of leader: NodeAddress, in folder: TemporaryFolder, _ name: String = "learner",
    _ configure: (inout NodeConfiguration) -> Void = { _ in },
    _ body: (TestNode) async throws -> Void
  ) async throws {
    let node = try await TestNode(
      .learner(of: leader), folder: folder.appending(name), region: "eu-west"
    ) { configuration in
      configuration.limits.patience = .seconds(60)
      configure(&configuration)
    }
    try await withNode(node, body)
  }

  /// Sends `count` changes, drawn from `seed`.
  private func change(_ leader: TestNode, count: Int, seed: UInt64) async throws {
    var changes = ChangeMaker(generator: SeededGenerator(seed: seed))
    let last = leader.core.store.current.version.rawValue + UInt64(count)
    while leader.core.store.current.version.rawValue < last {
      try await leader.client.submit(.test(changes.next(leader.core.store.current.routes)))
    }
  }

  private func expectEqual(_ learner: TestNode, _ leader: TestNode) async throws {
    let state = leader.core.store.current
    try await reach(learner, state.version)
    let mirrored = learner.core.store.current
    #expect(mirrored.header == state.header)
    #expect(mirrored.routes.routes(overlapping: .all) == state.routes.routes(overlapping: .all))
  }

  @Test(arguments: LogKind.allCases) func catchesUpAndFollows(log: LogKind) async throws {
    for seed in testSeeds(count: 2) {
      let folder = TemporaryFolder()
      try await withLeader(on: log) { leader in
        try await leader.client.submit(.test(bootstrap("g", "p")))
        try await change(leader, count: 50, seed: seed)
        try await withLearner(of: leader.address, in: folder) { learner in
          try await expectEqual(learner, leader)
          try await change(leader, count: 50, seed: seed &+ 1000)
          try await expectEqual(learner, leader)
          let (ours, theirs) = (
            try await learner.client.status(), try await leader.client.status()
          )
          #expect(ours.role == .learner)
          #expect(ours.region == "eu-west")
          #expect(ours.digest == theirs.digest, "seed \(seed)")
          #expect(ours.headHash == theirs.headHash, "seed \(seed)")
          #expect(ours.leaderAddress == "\(leader.address)")
          #expect(ours.learner?.isConnected == true)
          #expect(ours.learner?.resets == 0)
        }
      }
    }
  }

  @Test(arguments: LogKind.allCases) func resumesAfterItWasStopped(log: LogKind) async throws {
    let folder = TemporaryFolder()
    try await withLeader(on: log) { leader in
      try await leader.client.submit(.test(oneRoute))
      try await withLearner(of: leader.address, in: folder) { try await expectEqual($0, leader) }
      try await change(leader, count: 20, seed: 1)
      try await withLearner(of: leader.address, in: folder) {
        #expect($0.core.store.current.version >= CatalogVersion(1))
        try await expectEqual($0, leader)
        #expect(try $0.core.store.firstPosition() == LogPosition(1))
      }
    }
  }

  @Test(arguments: LogKind.allCases)
  func reconnectsToALeaderThatRestarted(log: LogKind) async throws {
    let folder = TemporaryFolder()
    var leader = try await TestNode.leader(folder, port: quietPort(), on: log)
    let address = leader.address
    try await leader.client.submit(.test(bootstrap("m")))
    try await withLearner(of: address, in: folder) { learner in
      try await expectEqual(learner, leader)
      try await leader.stop()
      // Reads go on meanwhile; they say how old they may be.
      try await until { try await learner.client.status().learner?.isConnected == false }
      #expect(try await learner.client.resolve(Key("x")).value.id == RouteID(2))
      leader = try await TestNode.leading(leader.role, folder: leader.folder, port: address.port)
      try await leader.client.submit(.test(split("x")))
      try await expectEqual(learner, leader)
      let status = try await learner.client.status()
      #expect((status.learner?.reconnects ?? 0) > 0)
      try await until { try await learner.client.status().learner?.lastError.isEmpty == true }
    }
    try await leader.stop()
  }

  /// What swallows the packets of an old connection may let those of a new one through.
  @Test(arguments: LogKind.allCases)
  func leavesAConnectionThatWentSilentForANewOne(log: LogKind) async throws {
    try await withLeader(on: log) { leader in
      try await leader.client.submit(.test(oneRoute))
      let proxy = try NetworkProxy(to: leader.address)
      defer { proxy.stop() }
      let folder = TemporaryFolder()
      try await withLearner(
        of: proxy.address, in: folder, "learner",
        { $0.following.silenceLimit = .milliseconds(500) }
      ) { learner in
        for round in UInt64(1)...3 {
          try await reach(learner, CatalogVersion(round))
          let count = proxy.lineCount
          proxy.swallow()
          try await leader.client.submit(.test(split("\(round)")))
          try await reach(learner, CatalogVersion(round + 1))
          #expect(proxy.lineCount > count)
        }
        // Commands are passed on over the new one too.
        try await learner.client.submit(.test(split("x")))
      }
    }
  }

  @Test(arguments: LogKind.allCases)
  func takesOverTheStateOfALeaderWhoseLogBeginsLater(log: LogKind) async throws {
    let folder = TemporaryFolder()
    // A leader whose log begins after a base, with some entries behind it.
    let leader = try await trimmedLeader(folder, on: log, versions: 30, name: "trimmed")
    try await withNode(leader) { leader in
      try await change(leader, count: 5, seed: 7)
      try await withLearner(of: leader.address, in: folder) { learner in
        try await expectEqual(learner, leader)
        #expect(try learner.core.store.firstPosition() == LogPosition(36))
        try await change(leader, count: 5, seed: 8)
        try await expectEqual(learner, leader)
      }
    }
  }

  @Test(arguments: LogKind.allCases)
  func aLearnerBehindTheRetainedLogIsReset(log: LogKind) async throws {
    let folder = TemporaryFolder()
    let first = try await TestNode.leader(folder, on: log)
    try await first.client.submit(.test(bootstrap("g", "p")))
    try await change(first, count: 4, seed: 3)
    try await withLearner(of: first.address, in: folder) { try await expectEqual($0, first) }
    try await change(first, count: 30, seed: 4)
    let state = first.core.store.current
    try await first.stop()

    let leader = try await leaderAfter(state, on: log, folder: folder.appending("trimmed"))
    try await withNode(leader) { leader in
      try await change(leader, count: 3, seed: 5)
      try await withLearner(of: leader.address, in: folder) { learner in
        // A watcher of the old history is told to start over.
        let mirror = try await Mirror(at: CatalogVersion(5), of: learner)
        try await mirror.follow(learner, until: leader.core.store.current.version)
        #expect(mirror.resets >= 1)
        #expect(mirror.routes == leader.routes(at: leader.core.store.current.version))
        try await expectEqual(learner, leader)
        let status = try await learner.client.status()
        #expect(status.learner?.resets == 1)
        #expect(status.firstPosition > state.appliedThrough)
      }
    }
  }

  @Test(arguments: LogKind.allCases)
  func aLearnerOfAnotherHistoryKeepsItsOwnAndSaysSo(log: LogKind) async throws {
    let folder = TemporaryFolder()
    let first = try await TestNode.leader(folder, on: log)
    try await first.client.submit(.test(bootstrap("g", "p")))
    try await withLearner(of: first.address, in: folder) { try await expectEqual($0, first) }
    try await first.stop()

    let path = folder.appending("other")
    try EventLog.create(folder: path, catalog: testCatalog).releaseForWriting()
    let other = try await TestNode.leading(log.role(), folder: path)
    try await withNode(other) { other in
      try await other.client.submit(.test(bootstrap("h")))
      try await withLearner(of: other.address, in: folder) {
        $0.limits.patience = .milliseconds(50)
      } _: { learner in
        try await until {
          try await learner.client.status().learner?.lastError.contains("another history") == true
        }
        #expect(learner.core.store.current.routes.count == 3)
        let stale = await refusal {
          try await learner.client.resolve(
            Key("a"), demand: ReadDemand(maximumStaleness: .milliseconds(1)))
        }
        #expect(stale?.reason == "diverged")
        #expect(stale?.detail?.remedy.isEmpty == false)
        let version = await refusal {
          try await learner.client.resolve(
            Key("a"), demand: ReadDemand(minimumVersion: CatalogVersion(1)))
        }
        #expect(version?.code == .unavailable)
        #expect(version?.reason == "diverged")
        // Without a demand whatever is here will do.
        let read = try await learner.client.resolve(Key("a"))
        #expect(read.stamp.staleness == nil)
        let (page, next) = try await learner.client.listRoutes(.span(.all), pageSize: 2)
        #expect(page.value.count == 2)
        #expect(
          try await learner.client.listRoutes(.span(.all), after: next).page.value.count == 1)
      }
    }
  }

  @Test(arguments: LogKind.allCases)
  func aLearnerOfAnotherCatalogSaysSo(log: LogKind) async throws {
    let folder = TemporaryFolder()
    try await withLeader(on: log) { leader in
      try EventLog.create(
        folder: folder.appending("learner"), catalog: .named("another catalog!")
      ).releaseForWriting()
      try await withLearner(of: leader.address, in: folder) { learner in
        try await until {
          try await learner.client.status().learner?.lastError.contains("holds catalog") == true
        }
        #expect(learner.core.store.current.version == .zero)
      }
    }
  }

  @Test(arguments: LogKind.allCases) func passesCommandsOnToTheLeader(log: LogKind) async throws {
    let folder = TemporaryFolder()
    try await withLeader(on: log) { leader in
      try await withLearner(of: leader.address, in: folder) { learner in
        try await learner.client.submit(.test(bootstrap("m")))
        let command = Command.test(split("x"))
        let receipt = try await learner.client.submit(command, deadline: .seconds(60))
        #expect(receipt.outcome == .appended)
        #expect(receipt.newRoutes == [RouteID(3)])
        // What was written is read here by passing its version on.
        let read = try await learner.client.resolve(
          Key("x"), demand: ReadDemand(minimumVersion: receipt.version))
        #expect(read.value.id == RouteID(3))
        #expect(try await learner.client.submit(command).outcome == .repeated)
        let error = await refusal {
          try await learner.client.submit(
            .test(.split([SplitRequest(route: RouteID(1), at: Key("q"))])))
        }
        #expect(error?.code == .failedPrecondition)
        #expect(error?.reason == "split_key_outside_route")
        #expect(error?.detail?.holder.id == 2)
        let twice = await refusal {
          try await learner.client.submit(.test(split("z")), hops: CommandForwarding.maximumHops)
        }
        #expect(twice?.code == .unavailable)
        #expect(twice?.reason == "not_leader")
        #expect(twice?.detail?.leaderAddress == "\(leader.address)")
      }
    }
  }

  @Test(arguments: LogKind.allCases) func saysThatTheLeaderIsGone(log: LogKind) async throws {
    let folder = TemporaryFolder()
    let leader = try await TestNode.leader(folder, on: log)
    try await leader.client.submit(.test(oneRoute))
    try await withLearner(of: leader.address, in: folder) { learner in
      try await expectEqual(learner, leader)
      try await leader.stop()
      var error: NodeError?
      // Until the connection is known to be gone, calls end in other ways.
      try await until {
        error = await refusal { try await learner.client.submit(.test(split("x"))) }
        return error?.reason == "leader_unavailable"
      }
      #expect(error?.code == .unavailable)
      #expect(error?.detail?.leaderAddress == "\(leader.address)")
      #expect(try await learner.client.resolve(Key("a")).value.id == RouteID(1))
    }
  }

  @Test(arguments: LogKind.allCases) func knowsHowFreshItIs(log: LogKind) async throws {
    let folder = TemporaryFolder()
    let leader = try await TestNode.leader(folder, on: log)
    try await leader.client.submit(.test(oneRoute))
    try await withLearner(of: leader.address, in: folder) {
      $0.limits.patience = .milliseconds(200)
    } _: { learner in
      try await until { learner.core.freshness.staleness(at: learner.core.clock.now()) != nil }
      let demand = ReadDemand(maximumStaleness: .seconds(60))
      let fresh = try await learner.client.resolve(Key("a"), demand: demand)
      #expect((fresh.stamp.staleness ?? .seconds(99)) < .seconds(60))
      try await leader.stop()
      // Nobody answers any more, so what it knew grows old.
      try await until {
        let error = await refusal {
          try await learner.client.resolve(
            Key("a"), demand: ReadDemand(maximumStaleness: .milliseconds(50)))
        }
        return error?.reason == "behind"
      }
      #expect(try await learner.client.resolve(Key("a"), demand: demand).value.id == RouteID(1))
    }
  }

  @Test(arguments: LogKind.allCases) func aLearnerOfALearnerFollowsToo(log: LogKind) async throws {
    let folder = TemporaryFolder()
    try await withLeader(on: log) { leader in
      try await leader.client.submit(.test(bootstrap("g", "p")))
      try await withLearner(of: leader.address, in: folder, "relay") { relay in
        try await withLearner(of: relay.address, in: folder, "far") { far in
          try await change(leader, count: 20, seed: 11)
          try await expectEqual(far, leader)
          let fresh = try await far.client.resolve(
            Key("a"), demand: ReadDemand(maximumStaleness: .seconds(60)))
          #expect(fresh.stamp.staleness != nil)
          // A command goes all the way up, and its refusal all the way down.
          let receipt = try await far.client.submit(.test(split("sent from afar")))
          #expect(receipt.version == leader.core.store.current.version)
          let error = await refusal { try await far.client.submit(.test(oneRoute)) }
          #expect(error?.reason == "already_bootstrapped")
        }
      }
    }
  }

  @Test func learnersThatFollowEachOtherPassNothingRoundForEver() async throws {
    let folder = TemporaryFolder()
    for name in ["first", "second"] {
      try EventLog.create(folder: folder.appending(name), catalog: testCatalog).releaseForWriting()
    }
    let address = NodeAddress(host: "127.0.0.1", port: quietPort())
    try await withLearner(of: address, in: folder, "first") { first in
      let second = try await TestNode(
        .learner(of: first.address), folder: folder.appending("second"), port: address.port)
      try await withNode(second) { second in
        var error: NodeError?
        // Until the one has found the other.
        try await until {
          error = await refusal { try await second.client.submit(.test(oneRoute)) }
          return error?.reason != "leader_unavailable"
        }
        #expect(error?.reason == "not_leader")
        #expect(error?.message.contains("8 times") == true)
      }
    }
  }

  @Test(arguments: LogKind.allCases) func largeEntriesTravelInParts(log: LogKind) async throws {
    let folder = TemporaryFolder()
    try await withLeader(on: log) {
      $0.limits.messageByteCount = 1000
    } _: { leader in
      try await leader.client.submit(.test(oneRoute))
      try await leader.client.submit(
        .test(.split((0..<500).map { SplitRequest(at: Key("key number \($0)")) })))
      try await withLearner(of: leader.address, in: folder) { learner in
        try await expectEqual(learner, leader)
        try await leader.client.submit(
          .test(.move((1...400).map { RouteID($0) }, to: GroupID(8))))
        try await expectEqual(learner, leader)
      }
    }
  }

  @Test(arguments: LogKind.allCases) func waitsForALeaderThatComesLater(log: LogKind) async throws {
    let folder = TemporaryFolder()
    let early = try await TestNode.leader(folder, port: quietPort(), on: log)
    let (address, path) = (early.address, early.folder)
    try await early.client.submit(.test(oneRoute))
    try await early.stop()
    let joining = Task {
      try await TestNode(.learner(of: address), folder: folder.appending("learner"))
    }
    let leader = try await TestNode.leading(early.role, folder: path, port: address.port)
    try await withNode(leader) { leader in
      try await withNode(joining.value) { try await expectEqual($0, leader) }
    }
  }

  /// A leader whose log begins after a base at version `versions`.
  private func trimmedLeader(
    _ folder: TemporaryFolder, on log: LogKind, versions: Int, name: String
  ) async throws -> TestNode {
    let first = try await TestNode.leader(folder, on: log)
    try await first.client.submit(.test(bootstrap("g", "p")))
    try await change(first, count: versions - 1, seed: 6)
    let state = first.core.store.current
    try await first.stop()
    return try await leaderAfter(state, on: log, folder: folder.appending(name))
  }

  private func leaderAfter(
    _ state: CatalogState, on log: LogKind, folder: String
  ) async throws -> TestNode {
    let trimmed = try EventLog.create(folder: folder, catalog: state.catalog)
    try trimmed.install(base: state)
    trimmed.releaseForWriting()
    return try await TestNode.leading(log.role(), folder: folder)
  }
}
