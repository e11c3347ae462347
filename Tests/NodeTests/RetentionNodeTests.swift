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

/// Nodes that keep their logs by a policy.
@Suite(.oneEtcd, .timeLimit(.minutes(5))) struct RetentionNodeTests {
  /// A leader that trims all the time, down to the newest checkpoint.
  private func trimming(_ folder: TemporaryFolder, on log: LogKind) async throws -> TestNode {
    try await TestNode.leader(folder, on: log) {
      var policy = RetentionPolicy()
      policy.log = .zero
      $0.retention = policy
      $0.retentionInterval = .milliseconds(200)
      $0.store.checkpoints.versions = 10
    }
  }

  private func split(_ leader: TestNode, _ numbers: ClosedRange<Int>) async throws {
    for number in numbers { try await leader.client.submit(.test(cut("key \(number)"))) }
  }

  private func cut(_ text: String) -> RouteChange {
    .split([SplitRequest(at: Key(text))])
  }

  @Test(arguments: LogKind.allCases)
  func aLeaderTrimsByItselfAndItsLearnersGoOn(log: LogKind) async throws {
    let folder = TemporaryFolder()
    let leader = try await trimming(folder, on: log)
    try await withNode(leader) { leader in
      try await leader.client.submit(.test(oneRoute))
      let learner = try await TestNode(
        .learner(of: leader.address), folder: folder.appending("learner"))
      try await reach(learner, CatalogVersion(1))
      try await learner.stop()
      try await split(leader, 1...60)
      try await until { try await leader.client.status().firstPosition > LogPosition(20) }
      let status = try await leader.client.status()
      #expect(status.condition.isEmpty && status.version == CatalogVersion(61))
      // The marker is an entry that makes no version.
      #expect(status.position.rawValue > 61)

      // One that was away for too long takes over the state, says so, and has the leader's from then.
      let again = try await TestNode(
        .learner(of: leader.address), folder: folder.appending("learner"))
      try await withNode(again) { learner in
        try await reach(learner, CatalogVersion(61))
        #expect(try await learner.client.status().learner?.resets ?? 0 >= 1)
        try await split(leader, 100...105)
        try await reach(learner, CatalogVersion(67))
        let (here, there) = (learner.core.store.current, leader.core.store.current)
        #expect(here.digest == there.digest)
      }
    }
    let verified = try await cadastre("verify", "--log", leader.folder, "--json")
    #expect(verified.status == 0, "\(verified.errors)")
    #expect(try verified.json["version"].number == 67)
    #expect(try verified.json["first_position"].number > 20)
  }

  @Test func trimSaysWhatWouldGoAndRemovesIt() async throws {
    let folder = TemporaryFolder()
    let node = try await TestNode.leader(folder) { $0.store.checkpoints.versions = 10 }
    try await withNode(node) { leader in
      try await leader.client.submit(.test(oneRoute))
      try await split(leader, 1...50)
      // Beside the server that writes.
      let preview = try await cadastre(
        "trim", "--log", leader.folder, "--keep-log", "0s", "--dry-run", "--json")
      #expect(preview.status == 0, "\(preview.errors)")
      #expect(try preview.json["dry_run"].bool)
      let refused = try await cadastre("trim", "--log", leader.folder, "--keep-log", "0s", "--json")
      #expect(refused.status == 6, "\(refused.errors)")
    }
    let preview = try await cadastre(
      "trim", "--log", node.folder, "--keep-log", "0s", "--dry-run", "--json")
    let wouldGo = try preview.json["entries"].number
    #expect(wouldGo > 20)
    let trimmed = try await cadastre("trim", "--log", node.folder, "--keep-log", "0s", "--json")
    #expect(trimmed.status == 0, "\(trimmed.errors)")
    #expect(try trimmed.json["entries"].number == wouldGo)
    #expect(try trimmed.json["log_file"]["bytes_after"].number > 0)
    let base = try trimmed.json["begins_after_version"].number
    #expect(try preview.json["begins_after_version"].number == base)
    let status = try await cadastre("status", "--log", node.folder, "--json")
    #expect(try status.json["first_position"].number == wouldGo + 1)
    #expect(try status.json["version"].number == 51)
    // What is gone is refused with the range that is there; what it begins after is there still.
    let gone = try await cadastre(
      "audit", "at", "key 1", "--log", node.folder, "--as-of", "\(base - 1)", "--json")
    #expect(gone.status != 0)
    #expect(try gone.error["message"].string.contains("\(base)"), "\(gone.errors)")
    let kept = try await cadastre(
      "audit", "at", "key 1", "--log", node.folder, "--as-of", "\(base)", "--json")
    #expect(kept.status == 0, "\(kept.errors)")
    let again = try await cadastre("trim", "--log", node.folder, "--keep-log", "forever")
    #expect(again.output.contains("none gone"), "\(again.output)\(again.errors)")
    let wrong = try await cadastre("trim", "--log", node.folder, "--keep-log", "soon")
    #expect(wrong.status == 2)
  }
}
