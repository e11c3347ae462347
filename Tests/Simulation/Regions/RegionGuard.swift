import StateMachines

/// A guard of regions' streams that a run can do without, to show what it is for.
package enum RegionGuard: String, CaseIterable, Sendable {
  /// A leader that could not renew in time issues nothing.
  case lease
  /// A ceiling is raised once that is durable.
  case ceiling
  /// A leader's clocks are after each commit that it has heard of.
  case observe
  /// A new leader waits for the one before it to stop.
  case wait
  /// A transaction that is decided stays so.
  case decision
  /// Commands are remembered when their entries are trimmed.
  case memory
  /// Nobody is answered before the disk has synced.
  case sync

  /// The guards of the production code that go with it.
  var production: Set<Guard> { self == .decision ? [.decision] : [] }
}
