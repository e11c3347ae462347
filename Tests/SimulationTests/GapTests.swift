import Simulation
import Testing

/// What each guard is for: without it the checkers must find something, before long. A guard whose
/// gap is never found is not tested.
@Suite struct GapTests {
  @Test(arguments: SimulatedGuard.allCases)
  func withoutTheGuardSomethingIsFound(guarded: SimulatedGuard) {
    let seeds = UInt64(1)...60
    let found = seeds.first { seed in
      var simulation = Simulation(seed: seed, without: [guarded])
      // Only what breaks a promise counts, and not that nothing happens any more.
      simulation.recovery = .zero
      return simulation.run().violation != nil
    }
    #expect(found != nil, "nothing was found without \(guarded) in \(seeds.count) seeds")
  }
}
