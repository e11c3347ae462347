import Catalog

/// What somebody asks of a region's stream: all of it happens, in one entry, or nothing.
package struct RegionCommand: Hashable, Sendable {
  /// The caller's name for the command; sent again under the same name it is carried out once.
  package var id: CommandID
  /// Who asks; at most ``LogEntry/maximumTextByteCount`` bytes of UTF-8.
  package var actor: String
  /// Why; at most ``LogEntry/maximumTextByteCount`` bytes of UTF-8.
  package var reason: String
  package var change: RegionChange

  package init(id: CommandID, actor: String, reason: String, change: RegionChange) {
    self.id = id
    self.actor = actor
    self.reason = reason
    self.change = change
  }
}

/// A change of a region's clocks or transactions.
package enum RegionChange: Hashable, Sendable {
  /// A member takes over the lead of groups, from whoever has it.
  case lead(LeadRequest)
  /// A leader raises the ceilings of groups that it leads, and renews its lease of them. Those that
  /// it leads no more in the term that it names are passed over; it is refused when none is left.
  case renew(RenewalRequest)
  /// A leader has stopped issuing.
  case retire(RetirementRequest)
  /// Nothing below `to` is issued to anybody who does not hold it already: for timestamps from
  /// other groups' clocks. Ceilings that are there already, and floors, stay.
  case raise(GroupSet, to: HybridTimestamp)
  /// Groups leave for another region, with what it needs to know of their clocks.
  case depart(GroupSet, to: Region)
  /// Groups come from another region.
  case arrive([Arrival], from: Region)
  /// A transaction begins. Done already when it did so, with the same participants and expiry.
  case begin(TransactionID, participants: GroupSet, expiry: HybridTimestamp)
  /// A transaction ends. The first outcome stands: another one is refused, with the first.
  case decide(TransactionID, TransactionOutcome)
  /// Transactions that are past their expiry and undecided end: they are aborted.
  case expire
}

package struct LeadRequest: Hashable, Sendable {
  package var groups: GroupSet
  package var leader: MemberName
  /// At least this, and at least one window after what may have been issued.
  package var ceiling: HybridTimestamp
  /// How long the leader may issue after it began a renewal.
  package var lease: Milliseconds
  /// That the leaders before have stopped, which the caller knows for certain: it holds what only one
  /// process can hold, and they held it. Then nobody waits for their leases.
  package var predecessorsEnded: Bool
  /// Nothing below it is issued, whatever is on record: for a leader that does not know all that was.
  package var floor: HybridTimestamp

  package init(
    groups: GroupSet, leader: MemberName, ceiling: HybridTimestamp, lease: Milliseconds,
    predecessorsEnded: Bool = false, floor: HybridTimestamp = .zero
  ) {
    self.groups = groups
    self.leader = leader
    self.ceiling = ceiling
    self.lease = lease
    self.predecessorsEnded = predecessorsEnded
    self.floor = floor
  }
}

/// Groups that a member leads in a term.
package struct TermGroups: Hashable, Sendable {
  package var term: Term
  package var groups: GroupSet

  package init(term: Term, groups: GroupSet) {
    self.term = term
    self.groups = groups
  }
}

package struct RenewalRequest: Hashable, Sendable {
  package var leader: MemberName
  package var groups: [TermGroups]
  package var ceiling: HybridTimestamp

  package init(leader: MemberName, groups: [TermGroups], ceiling: HybridTimestamp) {
    self.leader = leader
    self.groups = groups
    self.ceiling = ceiling
  }
}

package struct RetirementRequest: Hashable, Sendable {
  package var leader: MemberName
  package var groups: [TermGroups]
  /// The leader issued nothing at or above it.
  package var floor: HybridTimestamp
  /// That the leader waited for the one before it to stop, as its term asked for.
  package var hasWaited: Bool

  package init(
    leader: MemberName, groups: [TermGroups], floor: HybridTimestamp, hasWaited: Bool
  ) {
    self.leader = leader
    self.groups = groups
    self.floor = floor
    self.hasWaited = hasWaited
  }
}

/// Groups that come from another region, with clocks that were alike there.
package struct Arrival: Hashable, Sendable {
  package var groups: GroupSet
  package var clock: ClockHandover

  package init(groups: GroupSet, clock: ClockHandover) {
    self.groups = groups
    self.clock = clock
  }
}

/// What becomes of a command that is not refused.
package enum RegionDecision: Hashable, Sendable {
  /// These events happen, as one entry.
  case append([RegionEvent])
  /// It already is as asked, and nothing is appended.
  case alreadyDone
}
