/// Decides who may call the leader of a cluster while it is not certain that it answers.
///
/// A leader of which nothing is known, or nothing lately, is tried by a few callers, and the others
/// wait for what these hear. Once three calls have failed nobody calls it for a while, and everybody
/// hears so at once; then one caller tries it again, and after each failure the while is twice as long.
/// Another leader, or another term, starts afresh.
///
/// Reads no clock: times are those of one clock that only runs forward, since its start.
package struct CircuitBreaker: Sendable {
  package struct Options: Hashable, Sendable {
    /// How many calls may fail before nobody calls, and how many may be under way to a leader of
    /// which nothing is known.
    package var failureLimit = 3
    /// For how long nobody calls at first, and at most.
    package var firstPause: Duration = .milliseconds(100)
    package var maximumPause: Duration = .seconds(2)
    /// For how long a call that went well speaks for the leader.
    package var trust: Duration = .seconds(1)

    package init() {}
  }

  /// What a caller is to do.
  package enum Admission: Hashable, Sendable {
    /// To call, and to say with the ticket how that went.
    case call(Ticket)
    /// To ask again when something has changed here.
    case wait
    /// To give up at once.
    case refuse
  }

  /// One call.
  package struct Ticket: Hashable, Sendable {
    fileprivate enum Kind { case trusted, trial, probe }
    fileprivate var kind: Kind
    fileprivate var leader: UInt64
    fileprivate var round: UInt64
  }

  private let options: Options
  /// Who is called; nil while nobody leads.
  package private(set) var leader: LeaderRecord?
  /// Counts the leaders, so that tickets of others are known.
  private var leaderNumber: UInt64 = 0
  /// Counts how often the circuit was opened or closed for a leader.
  private var round: UInt64 = 0
  private var failures = 0
  /// When a call last went well; nil when none did, or one failed since.
  private var provenAt: Duration?
  /// Calls under way to a leader that is not proven.
  private var trials = 0
  private var openUntil: Duration?
  private var pause: Duration
  private var isProbing = false

  package init(options: Options = Options()) {
    self.options = options
    pause = options.firstPause
  }

  /// Whether nobody calls, but for one caller now and then.
  package var isOpen: Bool { openUntil != nil }

  /// Takes note of who leads now. The same again: a no-op.
  package mutating func point(to leader: LeaderRecord?) {
    guard leader != self.leader else { return }
    self.leader = leader
    leaderNumber += 1
    close()
  }

  package mutating func admit(at now: Duration) -> Admission {
    guard leader != nil else { return .wait }
    if let openUntil {
      guard now >= openUntil, !isProbing else { return .refuse }
      isProbing = true
      return .call(ticket(.probe))
    }
    if let provenAt, now - provenAt <= options.trust { return .call(ticket(.trusted)) }
    guard trials + failures < options.failureLimit else { return .wait }
    trials += 1
    return .call(ticket(.trial))
  }

  /// Takes note that the leader answered, whatever the answer was.
  package mutating func succeeded(_ ticket: Ticket, at now: Duration) {
    guard ticket.leader == leaderNumber else { return }
    // Also the late answer to a call from before the circuit opened: it lives.
    if isOpen { close() } else { end(ticket) }
    failures = 0
    provenAt = now
  }

  /// Takes note that the leader could not be reached, or does not lead.
  package mutating func failed(_ ticket: Ticket, at now: Duration) {
    guard ticket.leader == leaderNumber, ticket.round == round else { return }
    end(ticket)
    provenAt = nil
    if ticket.kind == .probe {
      pause = min(pause * 2, options.maximumPause)
      openUntil = now + pause
      return
    }
    failures += 1
    guard failures >= options.failureLimit else { return }
    round += 1
    trials = 0
    openUntil = now + pause
  }

  /// Takes note that a call ended without telling anything of the leader.
  package mutating func abandoned(_ ticket: Ticket) {
    guard ticket.leader == leaderNumber else { return }
    end(ticket)
  }

  private func ticket(_ kind: Ticket.Kind) -> Ticket {
    Ticket(kind: kind, leader: leaderNumber, round: round)
  }

  private mutating func end(_ ticket: Ticket) {
    guard ticket.round == round else { return }
    switch ticket.kind {
    case .trusted: break
    case .trial: trials -= 1
    case .probe: isProbing = false
    }
  }

  private mutating func close() {
    round += 1
    (failures, trials, provenAt, openUntil, isProbing) = (0, 0, nil, nil, false)
    pause = options.firstPause
  }
}
