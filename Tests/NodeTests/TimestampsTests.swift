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

@Suite(.oneEtcd) struct TimestampsTests {
  private let tokyo = (try? Region("tokyo")) ?? TimestampsTests.unreachableRegion()
  private let folder = TemporaryFolder()

  private static func unreachableRegion() -> Region { preconditionFailure("a good name") }

  private func groups(_ range: ClosedRange<UInt64>) -> GroupSet {
    GroupSet(GroupRun(GroupID(range.lowerBound), through: GroupID(range.upperBound)))
  }

  /// A node that leads the catalog, and the stream of a region.
  private func node(
    as role: NodeConfiguration.Role = .leader,
    _ configure: (inout NodeConfiguration) -> Void = { _ in }
  ) async throws -> TestNode {
    let path = folder.appending("leader")
    if !FileManager.default.fileExists(atPath: path) {
      try EventLog.create(folder: path, catalog: testCatalog).releaseForWriting()
      try await enableRegionStreams(in: path)
    }
    return try await TestNode.leading(role, folder: path) {
      $0.ledRegions = [tokyo]
      configure(&$0)
    }
  }

  private func transaction(_ number: UInt8) throws -> TransactionID {
    try #require(TransactionID(bytes: [UInt8](repeating: number, count: 16)))
  }

  @Test(arguments: LogKind.allCases)
  func timestampsRiseOverRestartsAndWithoutAWait(log: LogKind) async throws {
    let role = try log.role()
    var last = HybridTimestamp.zero
    for start in 0..<3 {
      try await withNode(try await node(as: role)) { node in
        if start == 0 {
          let lead = try await node.client.lead(groups(1...100_000), in: nil)
          #expect(lead.term == 1 && lead.waitMs == 0 && lead.region == "tokyo")
        } else {
          // What was handed over is taken up by itself.
          while try await node.client.regions().regions[0].ledGroups < 100_000 {
            try await Task.sleep(for: .milliseconds(5))
          }
        }
        for _ in 0..<5 {
          let batch = try await node.client.nextTimestamps(1000, of: GroupID(7))
          #expect(batch.first > last && batch.count == 1000)
          last = batch.last
        }
        let status = try await node.client.regions()
        #expect(status.member == "node" && status.regions.map(\.region) == ["tokyo"])
        #expect(status.regions[0].groups == 100_000 && status.regions[0].condition.isEmpty)
      }
    }
  }

  @Test(arguments: LogKind.allCases) func whoDoesNotLeadRefuses(log: LogKind) async throws {
    let role = try log.role()
    try await withNode(try await node(as: role)) { node in
      await #expect {
        try await node.client.nextTimestamps(1, of: GroupID(7))
      } throws: { error in
        (error as? NodeError)?.reason == "not_group_leader"
      }
      await #expect {
        try await node.client.lead(groups(1...1), in: try Region("osaka"))
      } throws: { error in
        (error as? NodeError)?.reason == "region_not_led"
      }
      _ = try await node.client.lead(groups(7...9), in: tokyo)
      _ = try await node.client.nextTimestamps(1, of: GroupID(7))
      _ = try await node.client.retire(groups(7...7), in: tokyo)
      await #expect(throws: NodeError.self) {
        try await node.client.nextTimestamps(1, of: GroupID(7))
      }
      _ = try await node.client.nextTimestamps(1, of: GroupID(8))
      await #expect(throws: NodeError.self) {
        try await node.client.nextTimestamps(70_000, of: GroupID(8))
      }
    }
  }

  @Test(arguments: LogKind.allCases) func transactionsAreDecidedOnce(log: LogKind) async throws {
    let role = try log.role()
    let (id, participants) = (try transaction(1), groups(1...2))
    try await withNode(try await node(as: role)) { node in
      _ = try await node.client.lead(groups(1...9), in: nil)
      let begun = try await node.client.begin(
        id, participants: participants, timeout: .seconds(60), command: .random())
      #expect(begun.outcome == nil && begun.participants == participants)
      // Sent again, in whatever command, it is the same.
      let again = try await node.client.begin(
        id, participants: participants, timeout: .seconds(60), command: .random())
      #expect(again == begun)
      let commit = try await node.client.nextTimestamps(1, of: GroupID(1)).first
      let outcome = TransactionOutcome.committed(at: commit)
      for _ in 0..<2 {
        let decided = try await node.client.decide(id, outcome, command: .random())
        #expect(decided.outcome == outcome)
      }
      await #expect {
        try await node.client.decide(id, .aborted, command: .random())
      } throws: { error in
        guard let error = error as? NodeError else { return false }
        return error.reason == "transaction_decided" && error.detail?.outcome == "\(outcome)"
      }
      #expect(try await node.client.nextTimestamps(1, of: GroupID(2)).first > commit)
    }
    try await withNode(try await node(as: role)) { node in
      #expect(try await node.client.transaction(id).outcome != nil)
      let other = try transaction(2)
      await #expect {
        try await node.client.transaction(other)
      } throws: { error in
        (error as? NodeError)?.code == .notFound
      }
    }
  }

  @Test(arguments: LogKind.allCases) func transactionsExpire(log: LogKind) async throws {
    let role = try log.role()
    try await withNode(try await node(as: role)) { node in
      let id = try transaction(3)
      _ = try await node.client.begin(
        id, participants: groups(1...1), timeout: .milliseconds(30), command: .random())
      while try await node.client.transaction(id).outcome == nil {
        try await Task.sleep(for: .milliseconds(5))
      }
      #expect(try await node.client.transaction(id).outcome == .aborted)
    }
  }

  @Test func optionsThatCannotWorkKeepItFromStarting() async throws {
    await #expect(throws: NodeError.self) {
      _ = try await node { $0.clocks.window = .milliseconds(10) }
    }
  }
}
