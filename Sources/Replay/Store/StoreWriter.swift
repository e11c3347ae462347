import Catalog
import StateMachines
import Synchronization

/// The work of a store's writer thread: takes all that waits, decides it in order against the state
/// that is next, writes it in one transaction, and tells everybody once it is durable.
///
/// LMDB binds a write transaction to its thread, and one thread needs no locks to decide: so there
/// is one. While it syncs, the next batch gathers.
final class StoreWriter: Sendable {
  typealias Completion = @Sendable (Result<Receipt, CommandFailure>) -> Void
  typealias Done = @Sendable (StoreError?) -> Void

  enum Request: Sendable {
    case command(Command, Completion)
    case note(Note, Completion)
    case replicated([EncodedEntry], Done)
    case install(CatalogState, Done)
  }

  struct Queue {
    var waiting: [Request] = []
    /// Commands that were taken in and have no answer yet.
    var unanswered = 0
    var isClosed = false
  }

  let log: EventLog
  let published: Published
  let wakeUps = WakeUps()
  private let reclaimer: Reclaimer
  let options: StoreOptions
  let checkpointer: Checkpointer
  private let wallMilliseconds: @Sendable () -> UInt64
  private let queue = Monitor(Queue())
  /// Nil until somebody asks for a command; learners seldom do.
  private let commandIndex = Mutex<CommandIndex?>(nil)
  /// The entry of the leader's that could not be applied, as long as it is the next one.
  private let poison = Mutex<PoisonEntry?>(nil)
  private let condition: Condition
  /// Why the last commitment was not made; nil when it was.
  private let commitmentFailure = Mutex<StoreError?>(nil)

  private final class Condition: Sendable {
    /// Why nothing is written any more.
    let failure: Mutex<StoreError?>

    init(_ failure: StoreError?) { self.failure = Mutex(failure) }
  }

  init(
    log: EventLog, start: StartingPoint, in checkpoints: CheckpointStore?, published: Published,
    failure: StoreError?, options: StoreOptions,
    wallMilliseconds: @escaping @Sendable () -> UInt64
  ) throws(StoreError) {
    reclaimer = try Reclaimer()
    let condition = Condition(failure)
    self.condition = condition
    checkpointer = Checkpointer(
      CheckpointWriter(after: start, in: checkpoints) { () throws(StoreError) in
        try CheckpointStore.open(
          folder: log.folder, mode: .readWrite, catalog: log.catalog, options: options.log)
      },
      published: published, policy: options.checkpoints,
      behind: start.growth(to: published.current), wallMilliseconds: wallMilliseconds,
      obstacle: { condition.failure.withLock { $0 } })
    self.log = log
    self.published = published
    self.options = options
    self.wallMilliseconds = wallMilliseconds
    let keeper = CommitmentKeeper(log)
    checkpointer.setCommitter { state, checkpoints in
      self.commit(to: state, in: checkpoints, keeper)
    }
  }

  /// Why the last commitment was not made; nil when it was.
  var commitmentCondition: StoreError? { commitmentFailure.withLock { $0 } }

  /// Commits to a state of which there is a checkpoint: keeps the commitment beside it, and lets a
  /// leader's log say it. What goes wrong costs proofs, not commands.
  private func commit(
    to state: CatalogState, in checkpoints: CheckpointStore, _ keeper: CommitmentKeeper
  ) {
    guard options.commitsToCheckpoints else { return }
    do {
      let commitment = try keeper.commit(to: state, in: checkpoints)
      commitmentFailure.withLock { $0 = nil }
      guard let commitment, options.role == .leader else { return }
      // A writer that is closing takes no more; the next checkpoint brings the next commitment.
      _ = enqueue(.note(Note(commitment, of: state.catalog)) { _ in })
    } catch {
      commitmentFailure.withLock { $0 = error }
    }
  }

  /// Why the store takes no more writes; nil as long as it does.
  var reasonForRefusal: StoreError? { condition.failure.withLock { $0 } }

  /// The entry that was to be taken over next and could not be applied; nil when there is none.
  var quarantined: PoisonEntry? { poison.withLock { $0 } }

  /// Puts a command in the queue, or answers at once when it cannot.
  func enqueue(_ command: Command, _ completion: @escaping Completion) {
    let refusal = queue.withLock { queue -> CommandFailure? in
      if queue.isClosed { return .closed }
      guard queue.unanswered < options.maximumWaitingCount else {
        return .overloaded(waiting: queue.unanswered)
      }
      queue.unanswered += 1
      queue.waiting.append(.command(command, completion))
      return nil
    }
    if let refusal {
      completion(.failure(refusal))
    } else {
      queue.wake()
    }
  }

  /// Puts other work in the queue; false when the store is closed.
  func enqueue(_ request: Request) -> Bool {
    queue.change { queue in
      if !queue.isClosed { queue.waiting.append(request) }
      return !queue.isClosed
    }
  }

  /// Takes no more work. What waits is done still.
  func close() { queue.change { $0.isClosed = true } }

  /// The body of the writer thread: returns when the store is closed and nothing waits.
  func run() {
    while true {
      let requests = queue.wait { queue -> [Request]? in
        guard !queue.waiting.isEmpty || queue.isClosed else { return nil }
        defer { queue.waiting = [] }
        return queue.waiting
      }
      guard !requests.isEmpty else { break }
      var rest = requests[...]
      while let first = rest.first {
        switch first {
        case .command:
          commitCommands(of: &rest)
        case .note(let note, let completion):
          rest.removeFirst()
          completion(commit(note))
        case .replicated(let entries, let done):
          rest.removeFirst()
          done(takeOver(entries))
        case .install(let state, let done):
          rest.removeFirst()
          done(install(state))
        }
      }
    }
    wakeUps.finish()
    // After the last version was published.
    checkpointer.close()
    reclaimer.close()
  }

  /// Where the entry of a command may be. The first to ask makes the index, O(*n*) in the size of
  /// the dedupe window; after that O(1).
  func positions(of command: CommandID) throws(StoreError) -> [LogPosition] {
    let last = published.current.appliedThrough
    let known = commandIndex.withLock { $0?.positions(of: command, last: last) }
    if let known { return known }
    let result = commandIndex.withLock { index -> Result<[LogPosition], StoreError> in
      do throws(StoreError) {
        var made = index ?? CommandIndex(window: log.dedupeWindow)
        if index == nil {
          // What is appended meanwhile is not published, and is inserted when it is.
          let last = published.current.appliedThrough
          try log.scanCommands { position, command in
            guard position <= last else { return false }
            made.insert(command, at: position)
            return true
          }
          index = made
        }
        return .success(made.positions(of: command, last: last))
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  /// Carries out the commands at the front of `requests`, as many as fit one commit.
  private func commitCommands(of requests: inout ArraySlice<Request>) {
    var batch = CommandBatch(state: published.current)
    var commands: [(command: Command, completion: Completion)] = []
    for request in requests.prefix(options.maximumBatchCount) {
      // What stands between commands has its turn there.
      guard case .command(let command, let completion) = request else { break }
      commands.append((command, completion))
    }
    if let failure = reasonForRefusal {
      requests.removeFirst(commands.count)
      answer(commands.map { ($0.completion, .failure(.storage(failure))) })
      return
    }
    do {
      for (command, _) in commands where batch.byteCount < options.maximumBatchByteCount {
        let earlier = try positions(of: command.id)
        try batch.decide(command, earlier: earlier, log: log, wall: wallMilliseconds)
      }
      try log.append(batch.entries, fingerprints: batch.fingerprints)
    } catch {
      let count = max(1, batch.verdicts.count)
      requests.removeFirst(count)
      noteFailure(error)
      answer(commands.prefix(count).map { ($0.completion, .failure(.storage(error))) })
      return
    }
    requests.removeFirst(batch.verdicts.count)
    if !batch.entries.isEmpty { publish(batch.state, batch.versions, batch.entries) }
    answer(Array(zip(commands.lazy.map(\.completion), batch.results())))
  }

  /// Appends a note behind the commands that came before it.
  private func commit(_ note: Note) -> Result<Receipt, CommandFailure> {
    if let failure = reasonForRefusal { return .failure(.storage(failure)) }
    var batch = CommandBatch(state: published.current)
    do {
      let earlier = try positions(of: note.id)
      try batch.decide(note, earlier: earlier, log: log, wall: wallMilliseconds)
      try log.append(batch.entries)
    } catch {
      noteFailure(error)
      return .failure(.storage(error))
    }
    if !batch.entries.isEmpty { publish(batch.state, batch.versions, batch.entries) }
    return batch.results().first ?? .failure(.closed)
  }

  private func answer(_ answers: [(Completion, Result<Receipt, CommandFailure>)]) {
    queue.withLock { $0.unanswered -= answers.count }
    for (completion, result) in answers { completion(result) }
  }

  /// Takes over entries that another store decided: each is proven before it is written, and those
  /// before a bad one are kept.
  private func takeOver(_ entries: [EncodedEntry]) -> StoreError? {
    if let failure = reasonForRefusal { return failure }
    var state = published.current
    var proven: [EncodedEntry] = []
    var versions: [CatalogHistory.Version] = []
    var problem: StoreError?
    for (index, encoded) in entries.enumerated() {
      let before = (state.appliedThrough, state.version)
      do {
        try state.evolve(encoded)
      } catch {
        let next = index + 1 < entries.count ? entries[index + 1] : nil
        problem = refusal(of: encoded, before: next, error)
        break
      }
      guard state.appliedThrough > before.0 else { continue }  // Sent again after a reconnect.
      proven.append(encoded)
      if state.version > before.1 {
        versions.append(
          CatalogHistory.Version(table: state.routes, events: encoded.entry.events))
      }
    }
    guard !proven.isEmpty else { return problem }
    do {
      try log.append(proven)
    } catch {
      noteFailure(error)
      return error
    }
    publish(state, versions, proven)
    return problem
  }

  /// Quarantines an entry that the one after it vouches for, or the leader, where it is the last.
  private func refusal(
    of encoded: EncodedEntry, before next: EncodedEntry?, _ error: EvolveError
  ) -> StoreError {
    guard next.map({ $0.entry.previous == encoded.hash }) ?? true,
      var entry = PoisonEntry(encoded.entry, hash: encoded.hash, refusedFor: error)
    else { return .unproven(encoded.entry.position, error) }
    // Once: it may be sent again and again.
    if let known = quarantined, known.hash == entry.hash, known.report != nil {
      return .poisoned(known)
    }
    entry = log.quarantine(entry, bytes: encoded.bytes)
    poison.withLock { $0 = entry }
    return .poisoned(entry)
  }

  private func install(_ state: CatalogState) -> StoreError? {
    do {
      try log.install(base: state)
    } catch {
      noteFailure(error)
      return error
    }
    commandIndex.withLock { $0 = nil }
    // Whatever was wrong with the log is gone with it.
    condition.failure.withLock { $0 = nil }
    poison.withLock { $0 = nil }
    let outdated = published.reset(to: state, historyCapacity: options.historyCapacity)
    checkpointer.beginEra()
    reclaimer.drop(outdated, wakingFor: state.routes.store)
    wakeUps.wakeAll()
    return nil
  }

  private func publish(
    _ state: CatalogState, _ versions: [CatalogHistory.Version], _ entries: [EncodedEntry]
  ) {
    let outdated = published.publish(state, versions: versions)
    poison.withLock { poison in
      if let position = poison?.position, position <= state.appliedThrough { poison = nil }
    }
    // Afterwards: an index that is made in between has what is published, or gets it here.
    commandIndex.withLock { index in
      for encoded in entries { index?.insert(encoded.entry.command, at: encoded.entry.position) }
    }
    checkpointer.note(
      versions: UInt64(versions.count),
      events: entries.reduce(0) { $0 + $1.entry.eventWeight })
    reclaimer.drop(outdated, wakingFor: state.routes.store)
    wakeUps.wakeAll()
  }

  /// After a write failed: goes on when the log is as it was, and when that is not certain stops.
  ///
  /// LMDB writes the page that makes a transaction valid last, and behind a sync of the others. So a
  /// write or a sync that failed before leaves the transaction before in place, and its own pages
  /// free to be written again. When the last write itself fails, LMDB answers nothing any more.
  ///
  /// Its own codes, which are negative, say that the pages are not as it left them, or that we used
  /// it wrongly. What it holds is unknown then, however whole its end looks.
  func noteFailure(_ error: StoreError) {
    switch error {
    case .otherCatalog, .cancelled: return  // The caller's mistake; the log was not touched.
    case .diskFull, .logFull, .tooManyReaders, .system(_, code: 1..., _):
      if let tail = try? log.tail(), tail.position == published.current.appliedThrough,
        tail.hash == published.current.lastHash
      {
        return
      }
    case .noLog, .logExists, .notALog, .newerFormat, .inUse, .openForReading, .permissionDenied,
      .readOnly, .truncated, .damaged, .needsNewerReader, .gap, .notRetained, .unproven,
      .poisoned, .baseDamaged, .checkpointDamaged, .damagedNode, .noCheckpoint, .wouldErase,
      .isMirror, .unusable, .system:
      break
    }
    condition.failure.withLock { failure in
      if failure == nil { failure = .unusable(reason: error.problem) }
    }
  }
}
