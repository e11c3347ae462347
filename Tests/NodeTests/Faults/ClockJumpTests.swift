import CadastreClient
import Catalog
import Foundation
import GRPCCore
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// The wall clock of a node that leads is put an hour ahead and back: nobody notices.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ClockJumpTests {
  // Never behind: libfaketime moves timers along that are set by the monotonic clock, and they would not
  // fire for an hour. Ahead they fire at once, which only costs time.
  private static let shifts = [3600, 0, 7200, 3600, 7200, 0]

  @Test(arguments: faultSeeds(count: 1))
  func theLeadStaysAndCallersSeeOneCatalog(seed: UInt64) async throws {
    try await withTemporaryFolder { folder in
      let clocks = try (0..<3).map { try ShiftedClock(in: folder, "clock\($0)") }
      let cluster = try await ClusterUnderTest.start(in: folder, seed: seed, clocks: clocks)
      defer { cluster.stop() }
      let kept = Shared(0)
      try await cluster.underTest.prove(seed: seed) { _ in
        Self.shifts.map { seconds in
          HarmRound(
            harms: [.shiftClock(clocks, of: cluster.nodes, by: seconds, leadKept: kept)],
            duration: .milliseconds(100), commandCount: 10)
        }
      }
      // A lead that went by the wall clock would end with each step ahead; one may end otherwise.
      #expect(kept.value > 3, "seed \(seed)")
      let log = try EventLog.open(folder: cluster.nodes[0].folder, mode: .readOnly)
      let times = try log.entries(from: LogPosition(1), maxCount: .max).map(\.entry.time)
      #expect(zip(times, times.dropFirst()).allSatisfy(<), "seed \(seed)")
      withExtendedLifetime(cluster) {}
    }
  }

  @Test func timestampsRiseAndStayNearTheTruth() async throws {
    try await withTemporaryFolder { folder in
      let clock = try ShiftedClock(in: folder, "clock")
      let member = ["--member", "node", "--region", "tokyo"]
      let node = ServedNode(
        "node", in: folder, member + ["--lead-region", "tokyo"], environment: clock.environment)
      let made = try await CadastreProcess(["init", node.folder] + member).wait()
      #expect(made.status == 0, "\(made.errors)")
      try await node.start()
      try await NodeClient.with(node.address) { client in
        let group = GroupID(7)
        _ = try await client.lead(GroupSet(GroupRun(group, through: group)), in: nil)
        var last = HybridTimestamp.zero
        for seconds in Self.shifts {
          try clock.shift(by: seconds)
          _ = try await [node].untilOne { $0.isShifted(by: seconds) }
          for _ in 0..<100 {
            let batch = try await client.timestampsInTheEnd(10, of: group)
            #expect(batch.first > last && batch.last > batch.first)
            last = batch.last
          }
          #expect(last.milliseconds < wallMilliseconds() + 600_000, "\(seconds) s")
        }
      }
      try await node.stop()
    }
  }
}

extension NodeClient {
  /// Asks again where the node was too slow to renew its lease in time.
  fileprivate func timestampsInTheEnd(
    _ count: Int, of group: GroupID
  ) async throws -> HybridTimestampBatch {
    while true {
      do throws(NodeError) {
        return try await nextTimestamps(count, of: group)
      } catch {
        guard error.code == .unavailable else { throw error }
        try await Task.sleep(for: .milliseconds(50))
      }
    }
  }
}

private func wallMilliseconds() -> UInt64 { NodeClock.system.wallMilliseconds() }

extension NodeStatus {
  /// Whether the node's wall clock was within ten minutes of so many seconds ahead of this process's.
  fileprivate func isShifted(by seconds: Int) -> Bool {
    let ahead = Int64(stamp.servedAtMilliseconds) - Int64(wallMilliseconds())
    return abs(ahead - Int64(seconds) * 1000) < 600_000
  }
}

extension Harm {
  /// Puts the wall clock of the node that leads so many seconds ahead, and counts in `leadKept` whether
  /// it leads still, in the same term, some commands later.
  fileprivate static func shiftClock(
    _ clocks: [ShiftedClock], of nodes: [ServedNode], by seconds: Int, leadKept: Shared<Int>
  ) -> Harm {
    Harm(target: "clock", name: "shift the leader's clock by \(seconds) s") {
      let (index, before) = try await nodes.untilOne { $0.role == .leader }
      try clocks[index].shift(by: seconds)
      _ = try await [nodes[index]].untilOne { $0.isShifted(by: seconds) }
      let after = try await nodes.untilOne { status in
        status.role == .leader && status.position.rawValue > before.position.rawValue + 10
      }
      let isKept = after.index == index && after.status.cluster?.term == before.cluster?.term
      if isKept { leadKept.change { $0 += 1 } }
    } end: {
      // The next one puts it right.
    }
  }
}
