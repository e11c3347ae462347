/// Something that happened in a region's stream: to the clocks of groups that are at home there, or
/// to transactions that are decided there.
package enum RegionEvent: Hashable, Sendable {
  /// A member leads these groups from now on, in a term that is higher than any before. See
  /// ``GroupClock/Standing/led(by:floor:lease:wait:)``.
  case groupsLed(GroupSet, LeaderTerm)
  /// Ceilings that were lower are this one now. That of a vacant group also says where the next
  /// leader starts: nothing below the ceiling is issued any more.
  case ceilingsRaised(GroupSet, term: Term, to: HybridTimestamp)
  /// The leader of these groups stopped, and issued nothing at or above `floor`, nor
  /// above their ceilings. `lease` is that of a
  /// leader before it which may still be issuing; none when it had waited for that one to stop.
  case groupsRetired(GroupSet, term: Term, floor: HybridTimestamp, lease: Milliseconds)
  /// These groups are at home in another region from now on.
  case groupsDeparted(GroupSet, to: Region, ClockHandover)
  /// These groups are at home here from now on.
  case groupsArrived(GroupSet, from: Region, ClockHandover)
  case transactionBegun(TransactionID, participants: GroupSet, expiry: HybridTimestamp)
  /// A transaction that had not begun may be aborted, so that it never will.
  case transactionDecided(TransactionID, TransactionOutcome)
}

/// What begins with a leader's term.
package struct LeaderTerm: Hashable, Sendable {
  package var leader: MemberName
  package var term: Term
  /// The least timestamp of the term.
  package var floor: HybridTimestamp
  /// The ceiling from now on; not below the floor.
  package var ceiling: HybridTimestamp
  /// How long the leader may issue after it began a renewal.
  package var lease: Milliseconds
  /// How long the leader waits before it issues anything.
  package var wait: Milliseconds

  package init(
    leader: MemberName, term: Term, floor: HybridTimestamp, ceiling: HybridTimestamp,
    lease: Milliseconds, wait: Milliseconds
  ) {
    self.leader = leader
    self.term = term
    self.floor = floor
    self.ceiling = ceiling
    self.lease = lease
    self.wait = wait
  }
}
