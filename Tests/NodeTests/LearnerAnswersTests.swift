import CadastreClient
import Catalog
import GRPCCore
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// What a learner answers while its network is slow, stalls and breaks.
@Suite(.timeLimit(.minutes(5))) struct LearnerAnswersTests {
  /// When the leader had acknowledged a version.
  private struct Commit: Sendable {
    var version: CatalogVersion
    var time: ContinuousClock.Instant
  }

  private struct Asked {
    var start = ContinuousClock.now
    var key: Key
    var demand = ReadDemand.none
  }

  /// The newest version that was acknowledged by a moment.
  private func newest(
    _ commits: [Commit], by moment: ContinuousClock.Instant
  ) -> CatalogVersion {
    commits.last { $0.time <= moment }?.version ?? .zero
  }

  private func check(
    _ answer: Answer<Route>, to asked: Asked, _ commits: [Commit], _ leader: TestNode, seed: UInt64
  ) throws {
    let version = answer.stamp.version
    let truth = try #require(leader.core.store.table(at: version), "seed \(seed): \(version)")
    #expect(answer.value == truth.route(containing: asked.key), "seed \(seed)")
    #expect(version >= asked.demand.minimumVersion, "seed \(seed)")
    // Older than was asked for, or than it says itself; the wire has whole milliseconds.
    for bound in [asked.demand.maximumStaleness, answer.stamp.staleness].compactMap(\.self) {
      let needed = newest(commits, by: asked.start - bound - .milliseconds(1))
      #expect(version >= needed, "seed \(seed): version \(version), at most \(bound) old")
    }
    if asked.demand.maximumStaleness != nil {
      #expect(answer.stamp.staleness != nil, "seed \(seed)")
    }
  }

  @Test(arguments: testSeeds(count: 2))
  func neverAnythingButTheTruthAndNeverTooOld(seed: UInt64) async throws {
    try await withLeader { leader in
      try await leader.client.submit(.test(bootstrap("g", "p")))
      let network = try NetworkProxy(
        to: leader.address,
        NetworkConditions(
          delay: .milliseconds(3), jitter: .milliseconds(10), losesOneIn: 15,
          retransmission: .milliseconds(40)), seed: seed)
      let folder = TemporaryFolder()
      let learner = try await TestNode(
        .learner(of: network.address), folder: folder.appending("learner")
      ) {
        $0.following.silenceLimit = .milliseconds(300)
        $0.limits.patience = .milliseconds(100)
      }
      try await withNode(learner) { learner in
        try await reach(learner, CatalogVersion(1))
        let commits = Shared<[Commit]>([])
        let isOver = Shared(false)
        let answers = Shared(0)
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask {
            defer { isOver.change { $0 = true } }
            try await change(leader, network, commits, seed: seed)
          }
          for reader in UInt64(0)..<3 {
            group.addTask {
              var generator = SeededGenerator(seed: seed &* 10 &+ reader)
              while !isOver.value {
                var asked = Asked(key: .random(length: 0...3, using: &generator))
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: asked.demand.minimumVersion = commits.value.last?.version ?? .zero
                case 1:
                  asked.demand.maximumStaleness =
                    .milliseconds(Int.random(in: 20...200, using: &generator))
                default: break
                }
                // A refusal is no wrong answer.
                guard
                  let answer = try? await learner.client.resolve(
                    asked.key, demand: asked.demand, deadline: .milliseconds(400))
                else { continue }
                answers.change { $0 += 1 }
                try check(answer, to: asked, commits.value, leader, seed: seed)
              }
            }
          }
          try await group.waitForAll()
        }
        #expect(answers.value > 0, "seed \(seed)")
        network.resume()
        network.mend()
        try await reach(learner, leader.core.store.current.version)
        #expect(
          learner.core.store.current.header == leader.core.store.current.header, "seed \(seed)")
        network.stop()
      }
    }
  }

  /// Writes, and lets the network fail and come back meanwhile.
  private func change(
    _ leader: TestNode, _ network: NetworkProxy, _ commits: Shared<[Commit]>, seed: UInt64
  ) async throws {
    var changes = ChangeMaker(generator: SeededGenerator(seed: seed))
    var generator = SeededGenerator(seed: seed &+ 77)
    for _ in 0..<80 {
      switch Int.random(in: 0..<24, using: &generator) {
      case 0: network.cut()
      case 1: network.stall()
      case 2: network.swallow()
      case 3...8:
        network.resume()
        network.mend()
      default: break
      }
      let receipt = try await leader.client.submit(
        .test(changes.next(leader.core.store.current.routes)))
      let commit = Commit(version: receipt.version, time: .now)
      commits.change { $0.append(commit) }
      try await Task.sleep(for: .milliseconds(Int.random(in: 2...25, using: &generator)))
    }
  }
}
