import Catalog

extension CatalogState {
  /// Decides `command`, makes the next entry of what is to happen, and moves on to it.
  ///
  /// All or nothing. Several commands may be proposed one after the other before their entries are
  /// durable, on a copy of the state; nobody else may see the copy before they are. `time` is the
  /// entry's; ``HybridTimestamp/following(wallMilliseconds:)`` makes one from a wall clock.
  ///
  /// - Precondition: `time` is after ``lastTime``.
  /// - Throws: ``Refusal`` when the command is not carried out.
  /// - Complexity: O(*c* log *n*), *c* being the number of changes and *n* that of routes.
  package mutating func propose(
    _ command: Command, time: HybridTimestamp
  ) throws(Refusal) -> Proposal {
    precondition(time > lastTime, "an entry is later than the one before")
    guard case .append(let events) = try decide(command) else { return .alreadyDone }
    // Should the log be there already, it goes on in the smallest steps, as long as there are some.
    guard time <= max(.latestPlausible, lastTime.next), time.rawValue < .max else {
      throw .clockWrong(time)
    }
    let next: RouteTable
    do {
      next = try routes.folding(events, time: time)
    } catch {
      preconditionFailure("event \(error.index) was decided and does not apply: \(error.error)")
    }
    let encoded: EncodedEntry
    do {
      encoded = try EncodedEntry(
        LogEntry(
          position: appliedThrough.next, previous: lastHash, time: time, actor: command.actor,
          reason: command.reason, command: command.id, version: next.version, events: events,
          digest: CatalogState.digest(of: next)))
    } catch {
      if case .entryTooLong = error.problem { throw .entryTooLong }
      throw .notEncodable(error)
    }
    moveOn(to: encoded.entry, hash: encoded.hash, routes: next)
    return .append(encoded)
  }
}
