import Catalog
import StateMachines

/// What the writer of a store does, without the thread that does it: decides commands in order
/// against the state that is next, writes them in one transaction, takes over entries that another
/// store decided.
///
/// It is driven by calls, and knows no thread, lock or clock. Each call ends with all of its work
/// durable, or none, and says what is to be shown and then answered: nobody may see or hear of
/// anything before the call returned.
package struct StoreCore: Sendable {
  package let log: any CatalogLog
  private let options: StoreOptions
  /// The last durable state.
  package private(set) var state: CatalogState
  /// Why nothing is written any more; nil as long as something may be.
  package private(set) var failure: StoreError?
  /// Why the last write failed though the next may not, as on a disk that is full; nil when it did not.
  package private(set) var obstacle: StoreError?
  /// The entry that was to be taken over next and could not be applied; nil when there is none.
  package private(set) var poison: PoisonEntry?

  /// Finds the positions at which a command may have its entry; see ``CommandLookup``.
  package typealias Lookup = (CommandID) throws(StoreError) -> [LogPosition]

  /// `state` is the one that `log` makes, and with `failure` the last that is proven.
  package init(
    _ log: any CatalogLog, state: CatalogState, failure: StoreError? = nil, options: StoreOptions
  ) {
    self.log = log
    self.state = state
    self.failure = failure
    self.options = options
  }

  /// What is durable now, and was not seen yet.
  package struct Publication: Sendable {
    package var state: CatalogState
    /// The versions that lead to ``state``, one by one; none where it is of a new era.
    package var versions: [CatalogHistory.Version] = []
    /// The entries that were appended.
    package var entries: [EncodedEntry] = []
    /// Whether the state was taken over whole: it does not follow from the one before.
    package var isNewEra = false
  }

  /// What became of commands.
  package struct Commit: Sendable {
    /// To be shown before anybody has an answer; nil when nothing was appended.
    package var publish: Publication?
    /// The answers to the first of the commands, at least to one, in their order. The others are to
    /// be brought again.
    package var thenAnswer: [Result<Receipt, CommandFailure>]
  }

  /// What became of entries, or of a state, from elsewhere.
  package struct Intake: Sendable {
    /// To be shown before anybody has an answer; nil when nothing was written.
    package var publish: Publication?
    /// Why not all of it was taken over; nil when all was.
    package var thenReport: StoreError?
  }
}

// MARK: Commands

extension StoreCore {
  /// Carries out the first of `commands`, as many as fit one commit. `wall` is asked for
  /// milliseconds since 1970, once for each entry.
  ///
  /// - Precondition: There is a command.
  package mutating func commit(
    _ commands: some Collection<Command>, wall: () -> UInt64, earlier: Lookup
  ) -> Commit {
    let commands = commands.prefix(options.maximumBatchCount)
    if let failure {
      return Commit(thenAnswer: commands.map { _ in .failure(.storage(failure)) })
    }
    do {
      try log.checkDecides()
    } catch {
      return Commit(thenAnswer: commands.map { _ in .failure(CommandFailure(error)) })
    }
    var batch = CommandBatch(state: state)
    do {
      for command in commands {
        guard batch.byteCount < options.maximumBatchByteCount else { break }
        try batch.decide(command, earlier: earlier(command.id), log: log, wall: wall)
      }
      try log.append(batch.entries, fingerprints: batch.fingerprints)
    } catch {
      noteFailure(error)
      let count = max(1, batch.verdicts.count)
      return Commit(thenAnswer: Array(repeating: .failure(CommandFailure(error)), count: count))
    }
    return finish(batch)
  }

  /// Appends a note behind the commands that came before it.
  package mutating func commit(
    _ note: Note, wall: () -> UInt64, earlier: Lookup
  ) -> Commit {
    if let failure { return Commit(thenAnswer: [.failure(.storage(failure))]) }
    var batch = CommandBatch(state: state)
    do {
      try log.checkDecides()
      try batch.decide(note, earlier: earlier(note.id), log: log, wall: wall)
      try log.append(batch.entries, fingerprints: [:])
    } catch {
      noteFailure(error)
      return Commit(thenAnswer: [.failure(CommandFailure(error))])
    }
    return finish(batch)
  }

  private mutating func finish(_ batch: CommandBatch) -> Commit {
    var publication: Publication?
    if !batch.entries.isEmpty {
      (state, obstacle) = (batch.state, nil)
      publication = Publication(
        state: batch.state, versions: batch.versions, entries: batch.entries)
    }
    return Commit(publish: publication, thenAnswer: batch.results())
  }
}

// MARK: Entries and states from elsewhere

extension StoreCore {
  /// Takes over entries that another store decided: each is proven before it is written, and those
  /// before a bad one are kept.
  package mutating func takeOver(_ entries: [EncodedEntry]) -> Intake {
    if let failure { return Intake(thenReport: failure) }
    var next = state
    var publication = Publication(state: state)
    var problem: StoreError?
    for (index, encoded) in entries.enumerated() {
      let before = (next.appliedThrough, next.version)
      do {
        try next.evolve(encoded)
      } catch {
        let follower = index + 1 < entries.count ? entries[index + 1] : nil
        problem = refusal(of: encoded, before: follower, error)
        break
      }
      guard next.appliedThrough > before.0 else { continue }  // Sent again after a reconnect.
      publication.entries.append(encoded)
      if next.version > before.1 {
        publication.versions.append(
          CatalogHistory.Version(table: next.routes, events: encoded.entry.events))
      }
    }
    guard !publication.entries.isEmpty else { return Intake(thenReport: problem) }
    do {
      try log.store(publication.entries)
    } catch {
      noteFailure(error)
      return Intake(thenReport: error)
    }
    publication.state = next
    (state, obstacle) = (next, nil)
    if let position = poison?.position, position <= next.appliedThrough { poison = nil }
    return Intake(publish: publication, thenReport: problem)
  }

  /// Quarantines an entry that the one after it vouches for, or the leader, where it is the last.
  private mutating func refusal(
    of encoded: EncodedEntry, before next: EncodedEntry?, _ error: EvolveError
  ) -> StoreError {
    guard next.map({ $0.entry.previous == encoded.hash }) ?? true,
      var entry = PoisonEntry(encoded.entry, hash: encoded.hash, refusedFor: error)
    else { return .unproven(encoded.entry.position, error) }
    // Once: it may be sent again and again.
    if let known = poison, known.hash == entry.hash, known.report != nil {
      return .poisoned(known)
    }
    entry = log.quarantine(entry, bytes: encoded.bytes)
    poison = entry
    return .poisoned(entry)
  }

  /// Replaces state and log with a state to go on from, and the commands that are known up to there.
  package mutating func install(_ state: CatalogState, commands: CommandWindow) -> Intake {
    do {
      try log.install(base: state, commands: commands)
    } catch {
      noteFailure(error)
      return Intake(thenReport: error)
    }
    // Whatever was wrong with the log is gone with it.
    failure = nil
    obstacle = nil
    poison = nil
    self.state = state
    return Intake(publish: Publication(state: state, isNewEra: true))
  }
}

// MARK: Failures

extension StoreCore {
  /// Writes nothing any more: something is wrong with the log that others found.
  package mutating func refuseWrites(_ reason: StoreError) {
    if failure == nil { failure = reason }
  }

  private mutating func noteFailure(_ error: StoreError) {
    if let reason = StoreCore.consequence(of: error, for: log, after: state) {
      refuseWrites(reason)
    } else if error.isOfTheMachine {
      obstacle = error
    }
  }

  /// What follows from a write that failed: nil when the log is as it was and one goes on, and when
  /// that is not certain why one stops. `state` is the last that was durable.
  ///
  /// LMDB writes the page that makes a transaction valid last, and behind a sync of the others. So a
  /// write or a sync that failed before leaves the transaction before in place, and its own pages
  /// free to be written again. When the last write itself fails, LMDB answers nothing any more.
  ///
  /// Its own codes, which are negative, say that the pages are not as it left them, or that we used
  /// it wrongly. What it holds is unknown then, however whole its end looks.
  static func consequence(
    of error: StoreError, for log: any CatalogLog, after state: CatalogState
  ) -> StoreError? {
    switch error {
    case .otherCatalog, .cancelled: return nil  // The caller's mistake; the log was not touched.
    // Nor was it by what went wrong before; what got into a shared stream comes back from there.
    case .notLeading, .stream, .windowHeldBack: return nil
    case .diskFull, .logFull, .tooManyReaders, .system(_, code: 1..., _):
      if let tail = try? log.tail(), tail.position == state.appliedThrough,
        tail.hash == state.lastHash
      {
        return nil
      }
    case .noLog, .logExists, .notALog, .newerFormat, .inUse, .openForReading, .permissionDenied,
      .readOnly, .truncated, .damaged, .needsNewerReader, .gap, .notRetained, .unproven,
      .poisoned, .baseDamaged, .checkpointDamaged, .damagedNode, .noCheckpoint, .wouldErase,
      .otherStream, .isMirror, .ofCluster, .unusable, .system:
      break
    }
    return .unusable(reason: error.problem)
  }
}

extension StoreError {
  /// Whether the machine could not do what it was asked for: there is nothing wrong with the log.
  fileprivate var isOfTheMachine: Bool {
    switch self {
    case .diskFull, .logFull, .tooManyReaders, .system: true
    default: false
    }
  }
}
