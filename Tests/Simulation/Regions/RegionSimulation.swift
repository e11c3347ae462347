import StateMachines

/// One run of the regions' streams.
package struct RegionSimulation {
  package var seed: UInt64
  /// How long things go wrong.
  package var trouble: Duration = .seconds(40)
  /// How long everything may take to be in order again.
  package var recovery: Duration = .seconds(30)
  /// The guards that are left out.
  package var absent: Set<RegionGuard> = []

  package init(seed: UInt64, without absent: Set<RegionGuard> = []) {
    self.seed = seed
    self.absent = absent
  }

  package struct Outcome: Sendable {
    /// Of everything that happened: the same for the same seed.
    package var digest: UInt64
    /// What should have been impossible; nil when all was well.
    package var violation: Violation?
    package var statistics: Statistics
    /// How often timestamps were issued.
    package var issued: Int
    /// How long the world lasted.
    package var time: Duration
    /// What could go wrong, for people.
    package var faults: String
  }

  package func run() throws -> Outcome {
    #if DEBUG
      let production = absent.reduce(into: Set<Guard>()) { $0.formUnion($1.production) }
      return try Guard.$absent.withValue(production) { try runGuarded() }
    #else
      return try runGuarded()
    #endif
  }

  private func runGuarded() throws -> Outcome {
    let world = try RegionWorld(seed: seed, without: absent)
    let faults = "\(world.faults)"
    world.begin(troubleUntil: trouble)
    world.run(until: trouble)
    if recovery > .zero {
      world.mend()
      world.run(until: trouble + recovery)
      world.checkLiveness()
    }
    world.statistics.acknowledged = world.oracle.acknowledgedCount
    return Outcome(
      digest: world.digest, violation: world.violation, statistics: world.statistics,
      issued: world.oracle.issuedCount, time: world.now, faults: faults)
  }
}
