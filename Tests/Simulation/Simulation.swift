import Catalog
import Replay
import StateMachines

/// One run of the world.
package struct Simulation {
  package var seed: UInt64
  /// How long things go wrong.
  package var trouble: Duration = .seconds(40)
  /// How long everything may take to be in order again.
  package var recovery: Duration = .seconds(40)
  /// The guards that are left out.
  package var absent: Set<SimulatedGuard> = []

  package init(seed: UInt64, without absent: Set<SimulatedGuard> = []) {
    self.seed = seed
    self.absent = absent
  }

  package struct Outcome: Sendable {
    /// Of everything that happened: the same for the same seed.
    package var digest: UInt64
    /// What should have been impossible; nil when all was well.
    package var violation: Violation?
    package var statistics: Statistics
    /// How long the world lasted.
    package var time: Duration
    /// What could go wrong, for people.
    package var faults: String
  }

  package func run() -> Outcome {
    #if DEBUG
      let production = absent.reduce(into: Set<Guard>()) { $0.formUnion($1.production) }
      return Guard.$absent.withValue(production) { runGuarded() }
    #else
      return runGuarded()
    #endif
  }

  private func runGuarded() -> Outcome {
    let world = World(seed: seed, without: absent)
    let faults = "\(world.faults)"
    world.begin(troubleUntil: trouble)
    world.run(until: trouble)
    if recovery > .zero {
      world.mend()
      world.run(until: trouble + recovery)
      world.checkLiveness()
    }
    return Outcome(
      digest: world.digest, violation: world.violation, statistics: world.statistics,
      time: world.now, faults: faults)
  }
}
