import CadastreClient
import Foundation
import TestSupport
import Testing

@testable import Node

/// A leader and two learners are killed, held, restarted and cut off, as seeds have it, while callers
/// read and change a few routes by way of all of them.
///
/// `CADASTRE_FAULT_SEEDS` says how many seeds to run, from `CADASTRE_SEED` on.
@Suite(.serialized, .timeLimit(.minutes(5))) struct LeaderFaultTests {
  /// Runs a leader and learners, each by a way of its own to it.
  private func withNodes(
    learnerCount: Int, seed: UInt64,
    _ body: (ServedNode, [ServedNode], [NetworkProxy]) async throws -> Void
  ) async throws {
    try await withTemporaryFolder { folder in
      let leader = ServedNode("leader", in: folder, [])
      let made = try await cadastre("init", leader.folder)
      #expect(made.status == 0, "\(made.errors)")
      let links = try (0..<learnerCount).map {
        try NetworkProxy(to: leader.address, seed: seed &+ UInt64($0))
      }
      defer { for link in links { link.stop() } }
      let learners = links.enumerated().map { index, link in
        ServedNode("learner\(index)", in: folder, ["--follow", "\(link.address)"])
      }
      for node in [leader] + learners { try await node.start() }
      try await body(leader, learners, links)
    }
  }

  @Test(arguments: faultSeeds(count: 2))
  func callersSeeOneCatalog(seed: UInt64) async throws {
    try await withNodes(learnerCount: 2, seed: seed) { leader, learners, links in
      var harms: [Harm] = [.kill(leader), .kill(leader), .hold(leader), .restart(leader)]
      for (learner, link) in zip(learners, links) {
        harms += [
          .kill(learner), .hold(learner), .restart(learner),
          .cut([link], "link of \(learner.name)"), .stall([link], "link of \(learner.name)"),
        ]
      }
      try await NodesUnderTest(nodes: [leader] + learners, currentNodes: [0], harms: harms)
        .prove(seed: seed)
    }
  }

  /// A learner that is asked for no version answers from what it has; taken for a node that is always
  /// current it is found out, as soon as somebody reads there what is old.
  @Test func aNodeThatIsBehindIsFoundOut() async throws {
    let isFoundOut = Shared(false)
    for seed in UInt64(1)...6 where !isFoundOut.value {
      try await withNodes(learnerCount: 1, seed: seed) { leader, learners, links in
        let nodes = NodesUnderTest(
          nodes: [leader] + learners, currentNodes: [0, 1], harms: [.stall(links, "link")])
        try await withKnownIssue(isIntermittent: true) {
          try await nodes.prove(seed: seed, rounds: 2)
        } matching: { issue in
          let isStale = issue.comments.contains {
            $0.rawValue.hasPrefix("seed \(seed): stall link")
          }
          if isStale { isFoundOut.change { $0 = true } }
          return isStale
        }
      }
    }
    #expect(isFoundOut.value)
  }
}
