import Catalog
import StateMachines

/// What became of a region's command, once it is durable.
package struct RegionReceipt: Hashable, Sendable {
  package var command: CommandID
  /// The command's entry; the last entry of all where the command made none.
  package var position: LogPosition
  package var outcome: Receipt.Outcome
  /// What the entry says; nothing where the command made none, or where it is sent again after its
  /// entry was trimmed.
  package var events: [RegionEvent]

  package init(
    command: CommandID, position: LogPosition, outcome: Receipt.Outcome, events: [RegionEvent]
  ) {
    self.command = command
    self.position = position
    self.outcome = outcome
    self.events = events
  }

  /// The receipt of the command that made `entry`.
  init(_ entry: LogEntry, outcome: Receipt.Outcome) {
    self.init(
      command: entry.command, position: entry.position, outcome: outcome,
      events: entry.regionEvents)
  }
}

extension LogEntry {
  /// The events of a region's stream.
  package var regionEvents: [RegionEvent] {
    events.compactMap { if case .region(let event) = $0 { event } else { nil } }
  }
}

/// Why a region's command has no receipt.
package enum RegionFailure: Error, Equatable, Sendable {
  /// The state does not allow it; nothing has changed.
  case refused(RegionRefusal)
  /// Another command was carried out under this id; it made the entry at `position`.
  case commandIDReused(CommandID, position: LogPosition)
  /// Too many commands are waiting; this one was not looked at.
  case overloaded(waiting: Int)
  /// The log could not take it. It may have happened all the same: sent again under its id, it is
  /// carried out once.
  case storage(StoreError)
  /// The store was closed before it looked at the command.
  case closed
}

extension RegionFailure: CustomStringConvertible {
  /// What is wrong, and what to do about it.
  package var description: String {
    switch self {
    case .refused(let refusal): "\(refusal)"
    case .commandIDReused(let id, let position):
      "\(CommandFailure.commandIDReused(id, position: position))"
    case .overloaded(let waiting): "\(CommandFailure.overloaded(waiting: waiting))"
    case .storage(let error): "\(CommandFailure.storage(error))"
    case .closed: "\(CommandFailure.closed)"
    }
  }
}

extension ChangeFingerprint {
  /// Of what a region's command asks for: SHA-256 of words that say all of it.
  package init(of change: RegionChange) {
    let words: [String] =
      switch change {
      case .lead(let request):
        [
          "lead", "\(request.groups)", "\(request.leader)", "\(request.ceiling)",
          "\(request.lease)", "\(request.predecessorsEnded)",
        ] + (request.floor > .zero ? ["\(request.floor)"] : [])
      case .renew(let request):
        ["renew", "\(request.leader)", "\(request.ceiling)"]
          + request.groups.flatMap { ["\($0.term)", "\($0.groups)"] }
      case .retire(let request):
        ["retire", "\(request.leader)", "\(request.floor)", "\(request.hasWaited)"]
          + request.groups.flatMap { ["\($0.term)", "\($0.groups)"] }
      case .raise(let groups, let ceiling): ["raise", "\(groups)", "\(ceiling)"]
      case .depart(let groups, let region): ["depart", "\(groups)", "\(region)"]
      case .arrive(let arrivals, let region):
        ["arrive", "\(region)"]
          + arrivals.flatMap {
            [
              "\($0.groups)", "\($0.clock.term)", "\($0.clock.ceiling)", "\($0.clock.floor)",
              "\($0.clock.lease)",
            ]
          }
      case .begin(let id, let participants, let expiry):
        ["begin", "\(id)", "\(participants)", "\(expiry)"]
      case .decide(let id, let outcome): ["decide", "\(id)", "\(outcome)"]
      case .expire: ["expire"]
      }
    let text = "cadastre/region-change/1 " + words.joined(separator: " ")
    let hash = Array(text.utf8).withUnsafeBytes { EntryHash(of: $0) }
    self.init(truncating: hash)
  }
}
