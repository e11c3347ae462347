import CadastreClient
import Catalog
import Foundation
import GRPCCore
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// A node whose disk is full says so, loses nothing, and is in nobody's way.
@Suite(.serialized, .timeLimit(.minutes(5))) struct FullDiskTests {
  private static let hint = "is full: make room"

  @Test func aLeaderRefusesUntilThereIsRoom() async throws {
    try await withTemporaryFolder { folder in
      let disk = try await SmallDisk(at: folder.appending(path: "leader"))
      let leader = ServedNode("leader", in: folder, [])
      let made = try await cadastre("init", leader.folder)
      #expect(made.status == 0, "\(made.errors)")
      try await leader.start()
      try await NodeClient.with(leader.address) { client in
        let before = try await client.submit(.test(.split([SplitRequest(at: Key("g"))])))
        try disk.fill()
        // Pages that it has taken already it may still write.
        var done = [before]
        var refused: (command: Command, error: NodeError)?
        while refused == nil {
          let command = Command.test(.split([SplitRequest(at: Key("k\(done.count)"))]))
          do {
            done.append(try await client.submit(command))
          } catch { refused = (command, NodeError(any: error)) }
        }
        let (command, error) = try #require(refused)
        #expect(error.code == .unavailable && error.reason == "storage")
        #expect(error.message.contains(Self.hint), "\(error)")
        try await expectNothingLost(done, at: client)
        let status = try await client.status()
        #expect(status.condition.isEmpty)
        #expect(status.warnings.contains { $0.contains(Self.hint) }, "\(status.warnings)")
        #expect(leader.errorsSoFar.contains("cannot write to the log"), "\(leader.errorsSoFar)")
        disk.makeRoom()
        done.append(try await client.submit(command))
        #expect(try await client.status().warnings.isEmpty)
        try await leader.stop()
        try await leader.start()
        try await until { (try? await client.status())?.version == done.last?.version }
        try await expectNothingLost(done, at: client)
        #expect(try await client.submit(command).outcome == .repeated)
      }
      try await leader.stop()
      let verified = try await cadastre("verify", "--log", leader.folder)
      #expect(verified.status == 0, "\(verified.errors)")
      withExtendedLifetime(disk) {}
    }
  }

  private func expectNothingLost(
    _ receipts: [CommandReceipt], at client: NodeClient
  ) async throws {
    let status = try await client.status()
    #expect(status.version == receipts.last?.version)
    #expect(Set(receipts.map(\.position)).count == receipts.count)
    #expect(status.routeCount == UInt64(receipts.count + 1))
  }

  /// The disk of whoever leads fills up under callers, and then another's.
  @Test(arguments: faultSeeds(count: 1))
  func theOthersOfAClusterGoOn(seed: UInt64) async throws {
    try await withTemporaryFolder { folder in
      var disks: [SmallDisk] = []
      for number in 0..<3 {
        disks.append(try await SmallDisk(at: folder.appending(path: "node\(number)")))
      }
      let cluster = try await ClusterUnderTest.start(in: folder, seed: seed)
      defer { cluster.stop() }
      try await cluster.underTest.prove(seed: seed) { [disks] _ in
        [true, false].map { leads in
          HarmRound(
            harms: [.fillDisk(disks, of: cluster.nodes, leading: leads)],
            duration: .milliseconds(200), commandCount: 20)
        }
      }
      withExtendedLifetime((cluster, disks)) {}
    }
  }
}

extension Harm {
  /// Fills the disk of the node that leads, or of one that does not, until it says so and commands go on
  /// without it; makes room, and starts it again.
  fileprivate static func fillDisk(
    _ disks: [SmallDisk], of nodes: [ServedNode], leading: Bool
  ) -> Harm {
    let harmed = Shared(0)
    return Harm(target: "disk", name: "fill the disk of a node that leads: \(leading)") {
      let index = try await nodes.untilOne { ($0.role == .leader) == leading }.index
      harmed.change { $0 = index }
      try disks[index].fill()
      let behind = try await [nodes[index]].untilOne { status in
        status.role == .learner && status.learner?.isConnected == false
          && status.warnings.contains { $0.contains("is full: make room") }
      }.status
      let others = nodes.enumerated().filter { $0.offset != index }.map(\.element)
      _ = try await others.untilOne { status in
        status.role == .leader && status.position.rawValue >= behind.position.rawValue + 20
      }
    } end: {
      let index = harmed.value
      disks[index].makeRoom()
      try await nodes[index].stop()
      try await nodes[index].start()
      try await nodes[index].untilHealthy()
    }
  }
}
