import Catalog

/// Why a command is not carried out in a region's stream. Nothing has changed.
package enum RegionRefusal: Error, Hashable, Sendable {
  /// The command names no groups.
  case noGroups
  case actorTooLong(byteCount: Int)
  case reasonTooLong(byteCount: Int)
  /// The entry would get this time, or a ceiling or expiry, which no clock can rightly show.
  case clockWrong(HybridTimestamp)
  /// A ceiling or a commit that is more than ``Milliseconds/maximum`` ahead of the entry's time.
  case tooFarAhead(HybridTimestamp, time: HybridTimestamp)
  /// A lease longer than ``Milliseconds/maximum``, or none.
  case leaseOutOfRange(Milliseconds)
  /// What is asked for has no form in the log.
  case notEncodable(LogCodingError)

  /// No clock of these groups is on record here.
  case unknownGroups(GroupRun)
  /// These groups are at home in another region.
  case departed(GroupRun, to: Region)
  /// The member does not lead these groups in that term: another one does, or nobody.
  case deposed(GroupRun, GroupClock)
  /// Groups come back that are here, or with a clock that is behind what is on record.
  case arrivesBehind(GroupRun, GroupClock)
  /// A floor above a ceiling.
  case floorAboveCeiling(HybridTimestamp, ceiling: HybridTimestamp)
  /// No term is left.
  case termsExhausted(GroupRun)

  /// The transaction was begun otherwise: with these participants, and this expiry.
  case transactionDiffers(Transaction)
  /// The transaction has ended, with this outcome, which stands.
  case transactionDecided(Transaction)
  /// There is no such transaction, so that it cannot commit.
  case unknownTransaction(TransactionID)
  /// The transaction can no longer commit: its expiry has come.
  case transactionExpired(Transaction, time: HybridTimestamp)
}

extension RegionRefusal: CustomStringConvertible {
  /// What is wrong, and what to do about it.
  package var description: String {
    switch self {
    case .noGroups: "no groups are named: name some"
    case .actorTooLong(let count):
      "the actor has \(count) bytes, at most \(LogEntry.maximumTextByteCount) are allowed"
    case .reasonTooLong(let count):
      "the reason has \(count) bytes, at most \(LogEntry.maximumTextByteCount) are allowed"
    case .clockWrong(let time):
      "the time \(time) is past \(HybridTimestamp.latestPlausible): set the clock of the machine "
        + "that asks right"
    case .tooFarAhead(let ahead, let time):
      "\(ahead) is more than \(Milliseconds.maximum) ms ahead of the stream's time \(time): set the "
        + "clock of the machine that it comes from right"
    case .leaseOutOfRange(let lease):
      "a lease of \(lease) ms: it has to be 1 to \(Milliseconds.maximum) ms"
    case .notEncodable(let error): "the entry has no form in the log: \(error)"
    case .unknownGroups(let groups):
      "groups \(groups) have no clock in this region: lead them first, where their home is"
    case .departed(let groups, let region):
      "groups \(groups) are at home in region \(region): ask there"
    case .deposed(let groups, let clock):
      switch clock.standing {
      case .led(let leader, _, _, _):
        "groups \(groups) are led by \(leader) in term \(clock.term): ask that member"
      case .vacant:
        "groups \(groups) have no leader since term \(clock.term): let a member lead them"
      case .departed(let region): "groups \(groups) are at home in region \(region): ask there"
      }
    case .arrivesBehind(let groups, let clock):
      "groups \(groups) cannot arrive with a clock behind ceiling \(clock.ceiling) and term "
        + "\(clock.term), which are on record here: take the clock from where they left last"
    case .floorAboveCeiling(let floor, let ceiling):
      "the floor \(floor) is above the ceiling \(ceiling): no clock can have issued that"
    case .termsExhausted(let groups): "groups \(groups) have had the last term that there is"
    case .transactionDiffers(let transaction):
      "transaction \(transaction.id) was begun with participants \(transaction.participants) and "
        + "expiry \(transaction.expiry): give each transaction an id of its own"
    case .transactionDecided(let transaction):
      "transaction \(transaction.id) has "
        + (transaction.outcome.map { "\($0)" } ?? "no outcome") + ": the first outcome stands"
    case .unknownTransaction(let id):
      "there is no transaction \(id), so that it cannot commit: begin it first"
    case .transactionExpired(let transaction, let time):
      "transaction \(transaction.id) expired at \(transaction.expiry), and it is \(time): begin "
        + "another one"
    }
  }

  /// A name for programs.
  package var code: String {
    switch self {
    case .noGroups: "no_groups"
    case .actorTooLong: "actor_too_long"
    case .reasonTooLong: "reason_too_long"
    case .clockWrong: "clock_wrong"
    case .tooFarAhead: "too_far_ahead"
    case .leaseOutOfRange: "lease_out_of_range"
    case .notEncodable: "not_encodable"
    case .unknownGroups: "unknown_groups"
    case .departed: "departed"
    case .deposed: "deposed"
    case .arrivesBehind: "arrives_behind"
    case .floorAboveCeiling: "floor_above_ceiling"
    case .termsExhausted: "terms_exhausted"
    case .transactionDiffers: "transaction_differs"
    case .transactionDecided: "transaction_decided"
    case .unknownTransaction: "unknown_transaction"
    case .transactionExpired: "transaction_expired"
    }
  }
}

/// Why an event does not fit the state of a region. Committed events always do, unless two replicas
/// differ.
package enum RegionEventError: Error, Hashable, Sendable {
  case unknownGroups(GroupRun)
  case departed(GroupRun, to: Region)
  /// The event is of another term than that of these groups' clock, or does not go past it.
  case wrongTerm(GroupRun, GroupClock, Term)
  /// The event would take a clock back.
  case clockGoesBack(GroupRun, GroupClock)
  /// The clock stands otherwise than the event says.
  case wrongStanding(GroupRun, GroupClock)
  case floorAboveCeiling(HybridTimestamp, HybridTimestamp)
  case leaseOutOfRange(Milliseconds)
  case transactionExists(TransactionID)
  case unknownTransaction(TransactionID)
  case transactionDecided(TransactionID, TransactionOutcome)
  case transactionExpired(TransactionID)
  /// The event is one of a catalog's stream.
  case otherStream
}

extension RegionEventError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .unknownGroups(let groups): "groups \(groups) have no clock"
    case .departed(let groups, let region): "groups \(groups) departed to \(region)"
    case .wrongTerm(let groups, let clock, let term):
      "groups \(groups) are in term \(clock.term), the event is of term \(term)"
    case .clockGoesBack(let groups, let clock):
      "the clock of groups \(groups) would fall below its ceiling \(clock.ceiling)"
    case .wrongStanding(let groups, _): "the clock of groups \(groups) stands otherwise"
    case .floorAboveCeiling(let floor, let ceiling): "floor \(floor) is above ceiling \(ceiling)"
    case .leaseOutOfRange(let lease): "a lease of \(lease) ms"
    case .transactionExists(let id): "transaction \(id) was begun before"
    case .unknownTransaction(let id): "transaction \(id) was not begun"
    case .transactionDecided(let id, let outcome): "transaction \(id) has \(outcome)"
    case .transactionExpired(let id): "transaction \(id) had expired"
    case .otherStream: "the event is one of a catalog's stream"
    }
  }
}
