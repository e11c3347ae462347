import Catalog
import StateMachines
import Synchronization

/// A store's writer thread and its queue: gives all that waits to a ``StoreCore``, shows what that
/// made durable, and then tells everybody.
///
/// LMDB binds a write transaction to its thread, and one thread needs no locks to decide: so there
/// is one. While it syncs, the next batch gathers.
final class StoreWriter: Sendable {
  typealias Completion = @Sendable (Result<Receipt, CommandFailure>) -> Void
  typealias Done = @Sendable (StoreError?) -> Void
  typealias ObstacleHook = @Sendable (StoreError?) -> Void

  enum Request: Sendable {
    case command(Command, Completion)
    case note(Note, Completion)
    case replicated([EncodedEntry], Done)
    case install(CatalogState, CommandWindow, Done)
  }

  struct Queue {
    var waiting: [Request] = []
    /// Commands that were taken in and have no answer yet.
    var unanswered = 0
    var isClosed = false
  }

  let log: any CatalogLog
  let published: Published
  let wakeUps = WakeUps()
  private let reclaimer: Reclaimer
  let options: StoreOptions
  let checkpointer: Checkpointer
  private let wallMilliseconds: @Sendable () -> UInt64
  private let queue = Monitor(Queue())
  private let lookup = Mutex(CommandLookup())
  /// The entry of the leader's that could not be applied, as long as it is the next one.
  private let poison = Mutex<PoisonEntry?>(nil)
  private let condition: Condition
  /// Why the last write failed though the next may not; nil when it did not.
  private let writeObstacle = Mutex<StoreError?>(nil)
  private let obstacleHook = Mutex<ObstacleHook?>(nil)
  /// Why the last commitment was not made; nil when it was.
  private let commitmentFailure = Mutex<StoreError?>(nil)

  private final class Condition: Sendable {
    /// Why nothing is written any more.
    let failure: Mutex<StoreError?>

    init(_ failure: StoreError?) { self.failure = Mutex(failure) }
  }

  init(
    log: EventLog, writing written: any CatalogLog, start: StartingPoint,
    in checkpoints: CheckpointStore?, published: Published,
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
    self.log = written
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
      // A member that does not lead is refused.
      guard let commitment, options.role != .learner else { return }
      // A writer that is closing takes no more; the next checkpoint brings the next commitment.
      _ = enqueue(.note(Note(commitment, of: state.catalog)) { _ in })
    } catch {
      commitmentFailure.withLock { $0 = error }
    }
  }

  /// Why the store takes no more writes; nil as long as it does.
  var reasonForRefusal: StoreError? { condition.failure.withLock { $0 } }

  /// Why the last write failed though the next may not; nil when it did not.
  var obstacle: StoreError? { writeObstacle.withLock { $0 } }

  /// The entry that was to be taken over next and could not be applied; nil when there is none.
  var quarantined: PoisonEntry? { poison.withLock { $0 } }

  /// How many commands were taken in and have no answer yet.
  var unansweredCount: Int { queue.withLock { $0.unanswered } }

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
    var core = StoreCore(
      log, state: published.current, failure: reasonForRefusal, options: options)
    while true {
      let requests = queue.wait { queue -> [Request]? in
        guard !queue.waiting.isEmpty || queue.isClosed else { return nil }
        defer { queue.waiting = [] }
        return queue.waiting
      }
      guard !requests.isEmpty else { break }
      var rest = requests[...]
      while let first = rest.first {
        // Others may have found something since.
        if let failure = reasonForRefusal { core.refuseWrites(failure) }
        switch first {
        case .command:
          commitCommands(of: &rest, core: &core)
        case .note(let note, let completion):
          rest.removeFirst()
          options.observer?.commitBegins()
          let commit = core.commit(note, wall: wallMilliseconds, earlier: positions)
          options.observer?.commitEnded(entries: commit.publish?.entries.count ?? 0)
          show(commit.publish, core)
          completion(commit.thenAnswer.first ?? .failure(.closed))
        case .replicated(let entries, let done):
          rest.removeFirst()
          options.observer?.commitBegins()
          let intake = core.takeOver(entries)
          options.observer?.commitEnded(entries: intake.publish?.entries.count ?? 0)
          show(intake.publish, core)
          done(intake.thenReport)
        case .install(let state, let commands, let done):
          rest.removeFirst()
          let intake = core.install(state, commands: commands)
          show(intake.publish, core)
          done(intake.thenReport)
        }
      }
    }
    wakeUps.finish()
    // After the last version was published.
    checkpointer.close()
    reclaimer.close()
  }

  /// Where the entry of a command may be; see ``CommandLookup``.
  func positions(of command: CommandID) throws(StoreError) -> [LogPosition] {
    try lookup.withLock { lookup throws(StoreError) in
      // What is appended meanwhile is not published, and is inserted when it is.
      try lookup.positions(of: command, in: log, through: published.current.appliedThrough)
    }
  }

  /// Carries out the commands at the front of `requests`, as many as fit one commit.
  private func commitCommands(of requests: inout ArraySlice<Request>, core: inout StoreCore) {
    var commands: [(command: Command, completion: Completion)] = []
    for request in requests.prefix(options.maximumBatchCount) {
      // What stands between commands has its turn there.
      guard case .command(let command, let completion) = request else { break }
      commands.append((command, completion))
    }
    options.observer?.commitBegins()
    let commit = core.commit(
      commands.lazy.map(\.command), wall: wallMilliseconds, earlier: positions)
    options.observer?.commitEnded(entries: commit.publish?.entries.count ?? 0)
    requests.removeFirst(commit.thenAnswer.count)
    show(commit.publish, core)
    queue.withLock { $0.unanswered -= commit.thenAnswer.count }
    for (command, result) in zip(commands, commit.thenAnswer) { command.completion(result) }
  }

  /// Shows what is durable now, and what the core has to say of it, then wakes who waits for it.
  private func show(_ publication: StoreCore.Publication?, _ core: StoreCore) {
    let isNewEra = publication?.isNewEra ?? false
    let outdated = publication.map { publication in
      publication.isNewEra
        ? published.reset(to: publication.state, historyCapacity: options.historyCapacity)
        : published.publish(publication.state, versions: publication.versions)
    }
    condition.failure.withLock { failure in
      if failure == nil || isNewEra { failure = core.failure }
    }
    poison.withLock { $0 = core.poison }
    note(obstacle: core.obstacle)
    guard let publication, let outdated else { return }
    // Afterwards: an index that is made in between has what is published, or gets it here.
    lookup.withLock { lookup in
      if isNewEra { lookup.forget() } else { lookup.insert(publication.entries) }
    }
    if isNewEra {
      checkpointer.beginEra()
    } else {
      checkpointer.note(
        versions: UInt64(publication.versions.count),
        events: publication.entries.reduce(0) { $0 + $1.entry.eventWeight })
    }
    reclaimer.drop(outdated, wakingFor: publication.state.routes.store)
    wakeUps.wakeAll()
  }

  func setObstacleHook(_ hook: ObstacleHook?) { obstacleHook.withLock { $0 = hook } }

  private func note(obstacle: StoreError?) {
    let isNews = writeObstacle.withLock { known in
      defer { known = obstacle }
      return known != obstacle
    }
    if isNews { obstacleHook.withLock { $0 }?(obstacle) }
  }

  /// Takes note of a write to the log that failed elsewhere; see ``StoreCore/consequence(of:for:after:)``.
  func noteFailure(_ error: StoreError) {
    guard
      let reason = StoreCore.consequence(of: error, for: log, after: published.current)
    else { return }
    condition.failure.withLock { failure in
      if failure == nil { failure = reason }
    }
  }
}
