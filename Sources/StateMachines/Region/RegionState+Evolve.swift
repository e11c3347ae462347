import Catalog

extension RegionState {
  /// Folds the next committed entry into the region. All or nothing. An entry at a position that was
  /// applied before changes nothing. `hash` is that of the entry's bytes.
  ///
  /// - Throws: ``EvolveError`` unless the entry continues the chain, its time follows the one before,
  ///   its events fit and the state after it has its digest.
  /// - Complexity: O(log *n* + *k*) for each event, *n* being the number of runs of groups whose
  ///   clocks are alike, and *k* that of those that the event touches.
  package mutating func evolve(_ entry: LogEntry, hash: EntryHash) throws(EvolveError) {
    guard entry.position > appliedThrough else {
      // Sent again after a reconnect. Of the entries before the last one the hash is not known.
      if entry.position == appliedThrough, appliedThrough > .zero, hash != lastHash {
        throw .forked(entry.position, applied: lastHash, found: hash)
      }
      return
    }
    guard entry.stream == .region else { throw .otherStream(entry.position) }
    let end = ChainEnd(position: appliedThrough, hash: lastHash, time: lastTime)
    try end.check(entry)
    guard entry.version == .zero else {
      throw .wrongVersion(entry.position, expected: .zero, found: entry.version)
    }
    var next = self
    do {
      try next.fold(entry.events, time: entry.time)
    } catch {
      throw .doesNotFitRegion(entry.position, event: error.index, error.error)
    }
    guard entry.digest == next.digest else {
      throw .diverged(entry.position, expected: entry.digest, found: next.digest)
    }
    next.appliedThrough = entry.position
    next.lastHash = hash
    next.lastTime = entry.time
    self = next
  }

  /// Folds the next committed entry into the region; see ``evolve(_:hash:)``.
  package mutating func evolve(_ encoded: EncodedEntry) throws(EvolveError) {
    try evolve(encoded.entry, hash: encoded.hash)
  }

  /// The event that does not fit, by its index in the entry, and why.
  struct MisfitEvent: Error {
    let index: Int
    let error: RegionEventError
  }

  mutating func fold(_ events: [Event], time: HybridTimestamp) throws(MisfitEvent) {
    for index in events.indices {
      do throws(RegionEventError) {
        guard case .region(let event) = events[index] else { throw .otherStream }
        try apply(event, time: time)
      } catch {
        throw MisfitEvent(index: index, error: error)
      }
    }
  }

  /// What an event does.
  private mutating func apply(
    _ event: RegionEvent, time: HybridTimestamp
  ) throws(RegionEventError) {
    switch event {
    case .groupsLed(let groups, let term): try lead(groups, term)
    case .ceilingsRaised(let groups, let term, let ceiling):
      try update(groups) { (run, clock) throws(RegionEventError) in
        guard clock.term == term else { throw .wrongTerm(run, clock, term) }
        return clock.raised(to: ceiling)
      }
    case .groupsRetired(let groups, let term, let floor, let lease):
      guard lease <= .maximum else { throw .leaseOutOfRange(lease) }
      try update(groups) { (run, clock) throws(RegionEventError) in
        guard clock.term == term else { throw .wrongTerm(run, clock, term) }
        guard case .led(_, let first, _, _) = clock.standing else {
          throw .wrongStanding(run, clock)
        }
        // Other groups of the event may have had higher ceilings; below its own is all that counts.
        return GroupClock(
          ceiling: clock.ceiling, term: term,
          standing: .vacant(floor: min(max(floor, first), clock.ceiling), lease: lease))
      }
    case .groupsDeparted(let groups, let region, let handover):
      try update(groups) { (run, clock) throws(RegionEventError) in
        guard handover == clock.handover else { throw .wrongStanding(run, clock) }
        return GroupClock(
          ceiling: clock.ceiling, term: clock.term, standing: .departed(to: region))
      }
    case .groupsArrived(let groups, _, let handover): try arrive(groups, handover)
    case .transactionBegun(let id, let participants, let expiry):
      guard transactions[id] == nil else { throw .transactionExists(id) }
      transactions.put(Transaction(id: id, participants: participants, expiry: expiry))
    case .transactionDecided(let id, let outcome): try end(id, outcome, time: time)
    }
  }

  private mutating func lead(
    _ groups: GroupSet, _ term: LeaderTerm
  ) throws(RegionEventError) {
    guard term.floor <= term.ceiling else { throw .floorAboveCeiling(term.floor, term.ceiling) }
    guard term.term > .zero, term.lease > .zero, term.lease <= .maximum, term.wait <= .maximum
    else { throw .leaseOutOfRange(max(term.lease, term.wait)) }
    let next = GroupClock(
      ceiling: term.ceiling, term: term.term,
      standing: .led(by: term.leader, floor: term.floor, lease: term.lease, wait: term.wait))
    try ceilings.update(groups) { (run, clock) throws(RegionEventError) in
      guard let clock else { return next }
      if case .departed(let region) = clock.standing { throw .departed(run, to: region) }
      guard term.term > clock.term else { throw .wrongTerm(run, clock, term.term) }
      guard term.ceiling >= clock.ceiling, term.floor >= clock.nextFloor else {
        throw .clockGoesBack(run, clock)
      }
      return next
    }
  }

  private mutating func arrive(
    _ groups: GroupSet, _ handover: ClockHandover
  ) throws(RegionEventError) {
    guard handover.floor <= handover.ceiling else {
      throw .floorAboveCeiling(handover.floor, handover.ceiling)
    }
    guard handover.lease <= .maximum else { throw .leaseOutOfRange(handover.lease) }
    let next = GroupClock(
      ceiling: handover.ceiling, term: handover.term,
      standing: .vacant(floor: handover.floor, lease: handover.lease))
    try ceilings.update(groups) { (run, clock) throws(RegionEventError) in
      guard let clock else { return next }
      guard case .departed = clock.standing else { throw .wrongStanding(run, clock) }
      guard handover.ceiling >= clock.ceiling, handover.term >= clock.term else {
        throw .clockGoesBack(run, clock)
      }
      return next
    }
  }

  private mutating func end(
    _ id: TransactionID, _ outcome: TransactionOutcome, time: HybridTimestamp
  ) throws(RegionEventError) {
    guard var transaction = transactions[id] else {
      guard outcome == .aborted else { throw .unknownTransaction(id) }
      // On record, so that a beginning that comes late finds that it is over.
      return transactions.put(
        Transaction(id: id, participants: GroupSet(), expiry: .zero, outcome: .aborted))
    }
    if let first = transaction.outcome, Guard.decision.isOn {
      throw .transactionDecided(id, first)
    }
    if outcome != .aborted, time >= transaction.expiry { throw .transactionExpired(id) }
    transaction.outcome = outcome
    transactions.put(transaction)
  }

  /// Changes clocks that are on record and at home here.
  private mutating func update(
    _ groups: GroupSet,
    _ change: (GroupRun, GroupClock) throws(RegionEventError) -> GroupClock
  ) throws(RegionEventError) {
    try ceilings.update(groups) { (run, clock) throws(RegionEventError) in
      guard let clock else { throw .unknownGroups(run) }
      if case .departed(let region) = clock.standing { throw .departed(run, to: region) }
      return try change(run, clock)
    }
  }
}

extension GroupClock {
  /// The one primitive by which clocks are merged: nothing below `ceiling` is issued by whoever
  /// starts later. Only ever rises.
  func raised(to ceiling: HybridTimestamp) -> GroupClock {
    var clock = self
    clock.ceiling = max(clock.ceiling, ceiling)
    if case .vacant(let floor, let lease) = clock.standing {
      clock.standing = .vacant(floor: max(floor, ceiling), lease: lease)
    }
    return clock
  }

  /// What another region needs to know of the clock when the group moves there.
  var handover: ClockHandover {
    ClockHandover(term: term, ceiling: ceiling, floor: nextFloor, lease: nextWait)
  }
}

/// Where a stream ends: what the next entry has to follow.
struct ChainEnd {
  var position: LogPosition
  var hash: EntryHash
  var time: HybridTimestamp

  /// That `entry` is the next one. Its events are for the state to check.
  func check(_ entry: LogEntry) throws(EvolveError) {
    guard entry.position == position.next else {
      throw .gap(expected: position.next, found: entry.position)
    }
    guard entry.previous == hash || !Guard.chain.isOn else {
      throw .brokenChain(entry.position, expected: hash, found: entry.previous)
    }
    // The last time there is would leave none for the next entry.
    guard entry.time > time, entry.time.rawValue < .max else {
      throw .timeNotAfter(entry.position, previous: time, found: entry.time)
    }
  }
}
