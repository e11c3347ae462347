import Catalog
import StateMachines

/// What became of a command, once it is durable.
package struct Receipt: Hashable, Sendable {
  /// How a command came to be done.
  package enum Outcome: Hashable, Sendable {
    /// It made an entry.
    case appended
    /// The catalog was as asked already; nothing was appended.
    case alreadyDone
    /// It was sent before: this is the receipt of the entry that it made then.
    case repeated
  }

  package var command: CommandID
  /// The command's entry; the last entry of all where the command made none.
  package var position: LogPosition
  /// The catalog's version after that entry.
  package var version: CatalogVersion
  package var outcome: Outcome
  /// The ids that the entry gave to new routes, in the order of its events.
  package var newRoutes: [RouteID]

  package init(
    command: CommandID, position: LogPosition, version: CatalogVersion, outcome: Outcome,
    newRoutes: [RouteID] = []
  ) {
    self.command = command
    self.position = position
    self.version = version
    self.outcome = outcome
    self.newRoutes = newRoutes
  }

  /// The receipt of the command that made `entry`.
  package init(_ entry: LogEntry, outcome: Outcome) {
    self.init(
      command: entry.command, position: entry.position, version: entry.version, outcome: outcome,
      newRoutes: entry.newRoutes)
  }

  /// The receipt of a command that is sent again.
  package init(repeating record: CommandRecord) {
    self.init(
      command: record.command, position: record.position, version: record.version,
      outcome: .repeated, newRoutes: record.newRouteIDs)
  }
}

/// Why a command has no receipt.
package enum CommandFailure: Error, Equatable, Sendable {
  /// The catalog does not allow it; nothing has changed.
  case refused(Refusal)
  /// Another command was carried out under this id; it made the entry at `position`.
  case commandIDReused(CommandID, position: LogPosition)
  /// Too many commands are waiting; this one was not looked at.
  case overloaded(waiting: Int)
  /// The log could not take it. It may have happened all the same: sent again under its id, it is
  /// carried out once.
  case storage(StoreError)
  /// This store follows another's log and decides nothing itself.
  case notLeader
  /// The store was closed before it looked at the command.
  case closed
}

extension CommandFailure {
  /// What a command is told when it could not be decided, or written.
  package init(_ error: StoreError) {
    switch error {
    // Nothing was written, and another store decides.
    case .notLeading, .stream(_, .deposed), .stream(_, .elsewhere): self = .notLeader
    default: self = .storage(error)
    }
  }
}

extension CommandFailure: CustomStringConvertible {
  /// What is wrong, and what to do about it.
  package var description: String {
    switch self {
    case .refused(let refusal): "\(refusal)"
    case .commandIDReused(let id, let position):
      "entry \(position) carried out another command under the id \(id): give each command an id "
        + "of its own"
    case .overloaded(let waiting):
      "\(waiting) commands are waiting already: send this one again later"
    case .storage(let error): "\(error); then send the command again under the same id"
    case .notLeader: "this store follows a leader: send the command there"
    case .closed: "the store is closed: send the command again when it is open"
    }
  }
}
