import Catalog

/// What becomes of a region's command that is not refused, ready for the log.
package enum RegionProposal: Hashable, Sendable {
  /// The next entry. The state that proposed it has moved on to it.
  case append(EncodedEntry)
  /// It already is as asked, and nothing is appended.
  case alreadyDone
}

extension RegionState {
  /// Decides `command`, makes the next entry of what is to happen, and moves on to it.
  ///
  /// All or nothing. Several commands may be proposed one after the other before their entries are
  /// durable, on a copy of the state; nobody else may see the copy before they are. `time` is the
  /// entry's; ``HybridTimestamp/following(wallMilliseconds:)`` makes one from a wall clock.
  ///
  /// - Precondition: `time` is after ``lastTime``.
  /// - Throws: ``RegionRefusal`` when the command is not carried out.
  package mutating func propose(
    _ command: RegionCommand, time: HybridTimestamp
  ) throws(RegionRefusal) -> RegionProposal {
    precondition(time > lastTime, "an entry is later than the one before")
    guard case .append(let decided) = try decide(command, time: time) else { return .alreadyDone }
    // Should the log be there already, it goes on in the smallest steps, as long as there are some.
    guard time <= max(.latestPlausible, lastTime.next), time.rawValue < .max else {
      throw .clockWrong(time)
    }
    let events = decided.map { Event.region($0) }
    var next = self
    do {
      try next.fold(events, time: time)
    } catch {
      preconditionFailure("event \(error.index) was decided and does not apply: \(error.error)")
    }
    let entry = LogEntry(
      stream: .region, position: appliedThrough.next, previous: lastHash, time: time,
      actor: command.actor, reason: command.reason, command: command.id, version: .zero,
      events: events, digest: next.digest)
    let encoded: EncodedEntry
    do {
      encoded = try EncodedEntry(entry)
    } catch {
      throw .notEncodable(error)
    }
    next.appliedThrough = entry.position
    next.lastHash = encoded.hash
    next.lastTime = time
    self = next
    return .append(encoded)
  }
}
