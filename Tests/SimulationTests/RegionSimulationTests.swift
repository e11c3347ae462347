import Simulation
import TestSupport
import Testing

/// The streams of three regions from seeds: leaders of groups that change, timestamps, transactions,
/// and all that can go wrong. `make simulate SEEDS=1000` runs more.
@Suite struct RegionSimulationTests {
  @Test(arguments: testSeeds(count: 24))
  func everybodyKeepsTheirPromises(seed: UInt64) throws {
    let outcome = try RegionSimulation(seed: seed).run()
    #expect(
      outcome.violation == nil,
      "seed \(seed), \(outcome.faults): make simulate SEEDS=1 FIRST=\(seed)")
    #expect(outcome.statistics.acknowledged > 0, "seed \(seed): nothing happened")
    #expect(outcome.issued > 1_000, "seed \(seed): hardly any timestamps")
  }

  @Test func theSameSeedIsTheSameWorld() throws {
    for seed in testSeeds(count: 2) {
      let digests = try (0..<2).map { _ in try RegionSimulation(seed: seed).run().digest }
      #expect(digests[0] == digests[1], "seed \(seed)")
    }
    #expect(
      try RegionSimulation(seed: 1).run().digest != (try RegionSimulation(seed: 2).run().digest))
  }

  /// What each guard is for: without it the checkers must find something, before long.
  @Test(arguments: RegionGuard.allCases)
  func withoutTheGuardSomethingIsFound(guarded: RegionGuard) throws {
    let seeds = UInt64(1)...60
    let found = try seeds.first { seed in
      var simulation = RegionSimulation(seed: seed, without: [guarded])
      simulation.recovery = .zero
      return try simulation.run().violation != nil
    }
    #expect(found != nil, "nothing was found without \(guarded) in \(seeds.count) seeds")
  }
}
