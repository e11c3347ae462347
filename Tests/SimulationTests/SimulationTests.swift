import Simulation
import TestSupport
import Testing

/// Whole worlds from seeds: leader, learners, relays and clients in three regions, with all that can
/// go wrong between them. `make simulate SEEDS=1000` runs more.
@Suite struct SimulationTests {
  @Test(arguments: testSeeds(count: 24))
  func everybodyKeepsTheirPromises(seed: UInt64) {
    let outcome = Simulation(seed: seed).run()
    #expect(
      outcome.violation == nil,
      "seed \(seed), \(outcome.faults): make simulate SEEDS=1 FIRST=\(seed)")
    #expect(outcome.statistics.acknowledged > 0, "seed \(seed): nothing happened")
  }

  @Test func theSameSeedIsTheSameWorld() {
    for seed in testSeeds(count: 2) {
      let digests = (0..<2).map { _ in Simulation(seed: seed).run().digest }
      #expect(digests[0] == digests[1], "seed \(seed)")
    }
  }

  @Test func otherSeedsAreOtherWorlds() {
    #expect(Simulation(seed: 1).run().digest != Simulation(seed: 2).run().digest)
  }
}
