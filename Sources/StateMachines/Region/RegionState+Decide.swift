import Catalog

extension RegionState {
  /// What is to happen when `command` is carried out in this state at a time, which its entry would
  /// get. The state stays as it is.
  ///
  /// - Throws: ``RegionRefusal`` when the command is not carried out.
  /// - Complexity: O(log *n* + *k*), *n* being the number of runs of groups whose clocks are alike,
  ///   and *k* that of those that are asked about.
  package func decide(
    _ command: RegionCommand, time: HybridTimestamp
  ) throws(RegionRefusal) -> RegionDecision {
    let actorCount = command.actor.utf8.count
    guard actorCount <= LogEntry.maximumTextByteCount else {
      throw .actorTooLong(byteCount: actorCount)
    }
    let reasonCount = command.reason.utf8.count
    guard reasonCount <= LogEntry.maximumTextByteCount else {
      throw .reasonTooLong(byteCount: reasonCount)
    }
    let events: [RegionEvent] =
      switch command.change {
      case .lead(let request): try lead(request, time)
      case .renew(let request): try renew(request, time)
      case .retire(let request): try retire(request)
      case .raise(let groups, let ceiling): try raise(groups, to: ceiling, time)
      case .depart(let groups, let region): try depart(groups, to: region)
      case .arrive(let arrivals, let region): try arrive(arrivals, from: region, time)
      case .begin(let id, let participants, let expiry):
        try begin(Transaction(id: id, participants: participants, expiry: expiry), time: time)
      case .decide(let id, let outcome): try end(id, outcome, time: time)
      case .expire: expired(at: time).map { .transactionDecided($0, .aborted) }
      }
    return events.isEmpty ? .alreadyDone : .append(events)
  }

  // MARK: - Clocks

  private func lead(
    _ request: LeadRequest, _ time: HybridTimestamp
  ) throws(RegionRefusal) -> [RegionEvent] {
    try checkNear(max(request.ceiling, request.floor), time)
    guard !request.groups.isEmpty else { throw .noGroups }
    guard request.lease > .zero, request.lease <= .maximum else {
      throw .leaseOutOfRange(request.lease)
    }
    var (term, floor) = (Term.zero, request.floor)
    var ceiling = max(request.ceiling, floor)
    var wait = Milliseconds.zero
    try ceilings.forEach(in: request.groups) { (run, clock) throws(RegionRefusal) in
      guard let clock else { return }
      if case .departed(let region) = clock.standing { throw .departed(run, to: region) }
      guard clock.term.rawValue < .max else { throw .termsExhausted(run) }
      term = max(term, clock.term)
      floor = max(floor, clock.nextFloor)
      ceiling = max(ceiling, clock.ceiling)
      wait = max(wait, clock.nextWait)
    }
    return [
      .groupsLed(
        request.groups,
        LeaderTerm(
          leader: request.leader, term: term.next, floor: floor, ceiling: ceiling,
          lease: request.lease, wait: request.predecessorsEnded ? .zero : wait))
    ]
  }

  private func renew(
    _ request: RenewalRequest, _ time: HybridTimestamp
  ) throws(RegionRefusal) -> [RegionEvent] {
    try checkNear(request.ceiling, time)
    var events: [RegionEvent] = []
    var deposed: RegionRefusal?
    for part in request.groups.sorted(by: { $0.term < $1.term }) {
      var still = GroupSet()
      ceilings.forEach(in: part.groups) { run, clock in
        if let clock, clock.isLed(by: request.leader, in: part.term) {
          still.append(run)
        } else if deposed == nil {
          deposed = clock.map { .deposed(run, $0) } ?? .unknownGroups(run)
        }
      }
      guard !still.isEmpty else { continue }
      events.append(.ceilingsRaised(still, term: part.term, to: request.ceiling))
    }
    guard !events.isEmpty else { throw deposed ?? .noGroups }
    return events
  }

  private func retire(_ request: RetirementRequest) throws(RegionRefusal) -> [RegionEvent] {
    var events: [RegionEvent] = []
    // The leader stopped before it asked, and observed no commit that was decided in between.
    let floor = max(
      request.floor, transactions.latestCommit > .zero ? transactions.latestCommit.next : .zero)
    for part in request.groups.sorted(by: { $0.term < $1.term }) where !part.groups.isEmpty {
      var lease = Milliseconds.zero
      try ceilings.forEach(in: part.groups) { (run, clock) throws(RegionRefusal) in
        guard let clock else { throw .unknownGroups(run) }
        guard clock.isLed(by: request.leader, in: part.term),
          case .led(_, _, _, let wait) = clock.standing
        else { throw .deposed(run, clock) }
        lease = max(lease, wait)
      }
      events.append(
        .groupsRetired(
          part.groups, term: part.term, floor: floor,
          lease: request.hasWaited ? .zero : lease))
    }
    guard !events.isEmpty else { throw .noGroups }
    return events
  }

  private func raise(
    _ groups: GroupSet, to ceiling: HybridTimestamp, _ time: HybridTimestamp
  ) throws(RegionRefusal) -> [RegionEvent] {
    try checkNear(ceiling, time)
    guard !groups.isEmpty else { throw .noGroups }
    var raised: [Term: GroupSet] = [:]
    try ceilings.forEach(in: groups) { (run, clock) throws(RegionRefusal) in
      guard let clock else { throw .unknownGroups(run) }
      if case .departed(let region) = clock.standing { throw .departed(run, to: region) }
      if clock.raised(to: ceiling) != clock { raised[clock.term, default: GroupSet()].append(run) }
    }
    return Self.raises(raised, to: ceiling)
  }

  private static func raises(
    _ raised: [Term: GroupSet], to ceiling: HybridTimestamp
  ) -> [RegionEvent] {
    raised.sorted { $0.key < $1.key }.map { .ceilingsRaised($0.value, term: $0.key, to: ceiling) }
  }

  private func depart(
    _ groups: GroupSet, to region: Region
  ) throws(RegionRefusal) -> [RegionEvent] {
    guard !groups.isEmpty else { throw .noGroups }
    var leaving: [(groups: GroupSet, clock: ClockHandover)] = []
    var indices: [ClockHandover: Int] = [:]
    try ceilings.forEach(in: groups) { (run, clock) throws(RegionRefusal) in
      guard let clock else { throw .unknownGroups(run) }
      if case .departed(let to) = clock.standing {
        guard to == region else { throw .departed(run, to: to) }
        return  // Left already.
      }
      let handover = clock.handover
      if let index = indices[handover] {
        leaving[index].groups.append(run)
      } else {
        indices[handover] = leaving.count
        leaving.append((GroupSet(run), handover))
      }
    }
    return leaving.map { .groupsDeparted($0.groups, to: region, $0.clock) }
  }

  private func arrive(
    _ arrivals: [Arrival], from region: Region, _ time: HybridTimestamp
  ) throws(RegionRefusal) -> [RegionEvent] {
    var events: [RegionEvent] = []
    var seen = GroupSet()
    for arrival in arrivals where !arrival.groups.isEmpty {
      let clock = arrival.clock
      try checkNear(clock.ceiling, time)
      guard clock.floor <= clock.ceiling else {
        throw .floorAboveCeiling(clock.floor, ceiling: clock.ceiling)
      }
      guard clock.lease <= .maximum else { throw .leaseOutOfRange(clock.lease) }
      // The same group a second time in one command would find the first already here.
      var coming = arrival.groups.subtracting(seen)
      seen = seen.union(arrival.groups)
      try ceilings.forEach(in: coming) { (run, known) throws(RegionRefusal) in
        guard let known else { return }
        // Sent again after a reconnect, perhaps when there is a leader already.
        if known.term >= clock.term, known.ceiling >= clock.ceiling, known.isHere {
          coming = coming.subtracting(GroupSet(run))
          return
        }
        guard !known.isHere, clock.ceiling >= known.ceiling, clock.term >= known.term else {
          throw .arrivesBehind(run, known)
        }
      }
      if !coming.isEmpty { events.append(.groupsArrived(coming, from: region, clock)) }
    }
    guard !seen.isEmpty else { throw .noGroups }
    return events
  }

  /// One clock that is far ahead must not take others there for good.
  private func checkNear(
    _ ahead: HybridTimestamp, _ time: HybridTimestamp
  ) throws(RegionRefusal) {
    try checkPlausible(ahead)
    guard ahead <= time || ahead.milliseconds - time.milliseconds <= Milliseconds.maximum.rawValue
    else { throw .tooFarAhead(ahead, time: time) }
  }

  private func checkPlausible(_ time: HybridTimestamp) throws(RegionRefusal) {
    guard time <= .latestPlausible else { throw .clockWrong(time) }
  }

  // MARK: - Transactions

  private func begin(
    _ transaction: Transaction, time: HybridTimestamp
  ) throws(RegionRefusal) -> [RegionEvent] {
    guard !transaction.participants.isEmpty else { throw .noGroups }
    try checkPlausible(transaction.expiry)
    if let known = transactions[transaction.id] {
      // Who aborted it before it had begun did not know more of it.
      guard known.participants == transaction.participants, known.expiry == transaction.expiry
      else {
        throw known.participants.isEmpty ? .transactionDecided(known) : .transactionDiffers(known)
      }
      return []
    }
    guard time < transaction.expiry else { throw .transactionExpired(transaction, time: time) }
    return [
      .transactionBegun(
        transaction.id, participants: transaction.participants, expiry: transaction.expiry)
    ]
  }

  /// The transaction's end. A commit lets the ceilings of the participants that are at home here rise
  /// above its timestamp in the same entry: whoever leads them next issues nothing before it.
  private func end(
    _ id: TransactionID, _ outcome: TransactionOutcome, time: HybridTimestamp
  ) throws(RegionRefusal) -> [RegionEvent] {
    guard let transaction = transactions[id] else {
      guard outcome == .aborted else { throw .unknownTransaction(id) }
      return [.transactionDecided(id, outcome)]
    }
    if let first = transaction.outcome, Guard.decision.isOn {
      guard first == outcome else { throw .transactionDecided(transaction) }
      return []
    }
    guard case .committed(let commit) = outcome else { return [.transactionDecided(id, outcome)] }
    guard time < transaction.expiry else { throw .transactionExpired(transaction, time: time) }
    try checkNear(commit, time)
    var raised: [Term: GroupSet] = [:]
    ceilings.forEach(in: transaction.participants) { run, clock in
      guard let clock, clock.isHere, clock.raised(to: commit.next) != clock else { return }
      raised[clock.term, default: GroupSet()].append(run)
    }
    return Self.raises(raised, to: commit.next) + [.transactionDecided(id, outcome)]
  }

  /// The undecided transactions that are past their expiry, by id. O(*u*) for *u* undecided ones.
  package func expired(at time: HybridTimestamp) -> [TransactionID] {
    transactions.pending.filter { $0.value <= time }.map(\.key).sorted()
  }
}

extension GroupClock {
  /// Whether a member leads the group in a term.
  package func isLed(by member: MemberName, in term: Term) -> Bool {
    guard case .led(member, _, _, _) = standing else { return false }
    return self.term == term
  }

  /// Whether the group is at home here.
  var isHere: Bool {
    if case .departed = standing { return false }
    return true
  }
}
