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
    var members = membership
    do {
      try members.fold(events, in: routes.store)
    } catch {
      preconditionFailure("event \(error.index) was decided and does not fit: \(error.error)")
    }
    let entry = LogEntry(
      position: appliedThrough.next, previous: lastHash, time: time, actor: command.actor,
      reason: command.reason, command: command.id, version: next.version, events: events,
      digest: CatalogState.digest(of: next, members))
    return .append(try append(entry, making: next, members))
  }

  /// Makes the next entry of notes about the catalog, and moves on to it; the version stays.
  ///
  /// - Precondition: `time` is after ``lastTime``, and each of `note.events` changes no routes and
  ///   speaks of what has happened.
  /// - Throws: ``Refusal`` when the clock is wrong, or the entry has no bytes.
  package mutating func propose(
    _ note: Note, time: HybridTimestamp
  ) throws(Refusal) -> EncodedEntry {
    precondition(time > lastTime, "an entry is later than the one before")
    precondition(!note.events.contains(where: \.changesRoutes), "a note changes no routes")
    precondition(
      !note.events.contains(where: \.changesMembership), "a note changes no members")
    guard time <= max(.latestPlausible, lastTime.next), time.rawValue < .max else {
      throw .clockWrong(time)
    }
    let entry = LogEntry(
      position: appliedThrough.next, previous: lastHash, time: time, actor: note.actor,
      reason: note.reason, command: note.id, version: version, events: note.events, digest: digest)
    do {
      try end.check(entry)
    } catch {
      preconditionFailure("a note does not follow: \(error)")
    }
    return try append(entry, making: routes, membership)
  }

  private mutating func append(
    _ entry: LogEntry, making next: RouteTable, _ members: Membership
  ) throws(Refusal) -> EncodedEntry {
    let encoded: EncodedEntry
    do {
      encoded = try EncodedEntry(entry)
    } catch {
      if case .entryTooLong = error.problem { throw .entryTooLong }
      throw .notEncodable(error)
    }
    moveOn(to: encoded.entry, hash: encoded.hash, routes: next, membership: members)
    return encoded
  }
}
