import StateMachines

/// A guard that a run can do without, to show what it is for.
package enum SimulatedGuard: String, CaseIterable, Sendable {
  /// An entry names the one before it.
  case chain
  /// A state has the digest that its entry or header says.
  case digest
  /// The leader gives the hash of the last entry that it sends, and a batch is a chain.
  case vouching
  /// A command that is sent again is known by its id.
  case dedupe
  /// Commands are remembered when their entries are trimmed, and go with a state that is taken over.
  case memory
  /// Nobody is answered before the disk has synced.
  case sync
  /// A client passes the version that it saw on.
  case versionFloor
  /// A node that does not know that it is fresh enough does not answer.
  case staleness
  /// Damage at the end of a log is noticed by the note of what was written last.
  case head

  /// The guards of the production code that go with it.
  var production: Set<Guard> {
    switch self {
    case .chain: [.chain]
    case .digest: [.digest]
    case .vouching: []
    case .dedupe, .memory, .sync, .versionFloor, .staleness, .head: []
    }
  }
}
