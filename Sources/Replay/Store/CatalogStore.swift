import Catalog
import StateMachines
import Synchronization

/// A catalog on disk and in memory: the log, the state that it makes, the recent versions, and the
/// one thread that writes.
///
/// Nothing is visible in ``current``, and nobody has an answer, before it is durable. All of it may
/// be used from any thread.
package final class CatalogStore: Sendable {
  package let folder: String
  package let role: StoreRole
  /// Checkpoints that could not be used at the start, or none at all: each is named, and what is
  /// served was made of others, or of the log.
  package let checkpointWarnings: [StoreError]
  let log: EventLog
  /// What is written to at a member of a cluster; nil elsewhere.
  package let shared: ReplicatedLog?
  let writer: StoreWriter
  /// What goes on beside commands, one at a time, and not once the store is closed: true then.
  let upkeep = Monitor(false)
  private let thread: WorkerThread

  /// Opens the log of `folder` for writing and replays it into memory.
  ///
  /// A log that is damaged past its beginning is opened all the same: ``current`` is then the state
  /// before the damage, ``condition`` says what is wrong, and nothing is written.
  ///
  /// The log must be that of `catalog`; nil takes any. `wallMilliseconds` is the wall clock, in
  /// milliseconds since 1970, which the writer thread reads; `progress` is told how far the replay
  /// has come.
  ///
  /// `stream` is the one that a store with the role ``StoreRole/member`` shares; it does not lead.
  ///
  /// - Throws: ``StoreError``.
  package static func open(
    folder: String, catalog: CatalogID? = nil, options: StoreOptions = StoreOptions(),
    sharing stream: (any SharedStream)? = nil,
    wallMilliseconds: @escaping @Sendable () -> UInt64,
    progress: ((ReplayProgress) -> Void)? = nil
  ) throws(StoreError) -> CatalogStore {
    precondition((options.role == .member) == (stream != nil), "a member shares a stream")
    let log = try EventLog.open(
      folder: folder, mode: .readWrite, catalog: catalog, options: options.log,
      provesEnd: false)
    try log.checkRole(options, cluster: stream?.name)
    return try CatalogStore(
      log, sharing: stream, options: options, wallMilliseconds: wallMilliseconds,
      progress: progress)
  }

  /// Makes a store without entries; the folder too where there is none.
  ///
  /// - Throws: ``StoreError/logExists(folder:)`` when there is one already.
  package static func create(
    folder: String, catalog: CatalogID, options: StoreOptions = StoreOptions(),
    wallMilliseconds: @escaping @Sendable () -> UInt64
  ) throws(StoreError) -> CatalogStore {
    let log = try EventLog.create(folder: folder, catalog: catalog, options: options.log)
    precondition(options.role != .member, "a member opens its log")
    try log.checkRole(options, cluster: nil)
    return try CatalogStore(
      log, sharing: nil, options: options, wallMilliseconds: wallMilliseconds, progress: nil)
  }

  private init(
    _ log: EventLog, sharing stream: (any SharedStream)?, options: StoreOptions,
    wallMilliseconds: @escaping @Sendable () -> UInt64,
    progress: ((ReplayProgress) -> Void)?
  ) throws(StoreError) {
    let checkpoints: CheckpointStore?
    var openFailure: StoreError?
    do throws(StoreError) {
      checkpoints = try CheckpointStore.existing(
        folder: log.folder, catalog: log.catalog, options: options.log)
    } catch {
      // The log tells all that they do.
      (checkpoints, openFailure) = (nil, error)
    }
    var start = try log.startingPoint(
      in: checkpoints, through: nil, history: UInt64(options.historyCapacity))
    if let openFailure { start.warnings.append(openFailure) }
    checkpointWarnings = start.warnings
    let recovered = StoreRecovery(
      log, from: start.state, historyCapacity: options.historyCapacity, onProgress: progress)
    folder = log.folder
    role = options.role
    self.log = log
    shared = stream.map { ReplicatedLog(log, sharing: $0) }
    let writer = try StoreWriter(
      log: log, writing: shared ?? log, start: start, in: checkpoints,
      published: Published(recovered.state, history: recovered.history),
      failure: recovered.failure,
      options: options, wallMilliseconds: wallMilliseconds)
    self.writer = writer
    try writer.checkpointer.start()
    thread = try WorkerThread(name: "catalog-writer") { writer.run() }
  }

  deinit {
    writer.close()
    // The last reference may be the one that a completion held, or a hook, on the thread itself.
    if !thread.isCurrent, !writer.checkpointer.isCurrent { thread.join() }
    log.releaseForWriting()
  }

  /// Finishes what waits, stops the writer and lets others write the folder. Reads go on to work.
  /// Again: a no-op. Blocks.
  ///
  /// - Precondition: Not called from a completion or from what ``onCheckpoint(_:)`` set.
  package func close() {
    precondition(
      !thread.isCurrent && !writer.checkpointer.isCurrent,
      "a completion or a hook cannot wait for its own thread")
    writer.close()
    thread.join()
    // What is under way may be about to put a file in its place.
    upkeep.withLock { $0 = true }
    log.releaseForWriting()
  }
}

// MARK: Reading

extension CatalogStore {
  package var catalog: CatalogID { log.catalog }

  /// What this store reads beyond format 1.
  package var reading: CapabilitySet { log.reading }

  /// The last durable state. O(1).
  package var current: CatalogState { writer.published.current }

  /// Why the store takes no more writes; nil as long as it does.
  package var condition: StoreError? { writer.reasonForRefusal }

  /// Why the last write failed though the next may not, as on a disk that is full; nil when it did not.
  package var writeObstacle: StoreError? { writer.obstacle }

  /// Has the writer thread tell of each change of ``writeObstacle``.
  package func onWriteObstacle(_ body: (@Sendable (StoreError?) -> Void)?) {
    writer.setObstacleHook(body)
  }

  /// The leader's entry that could not be applied and is the next one; nil when there is none. A
  /// store whose own log has such an entry says so in ``condition``.
  package var quarantined: PoisonEntry? { writer.quarantined }

  /// The versions that ``table(at:)`` knows.
  package var retainedVersions: ClosedRange<CatalogVersion> {
    writer.published.withHistory { $0.oldest...$0.newest }
  }

  /// The routes at a version; nil when it is not retained in memory, or not made yet. O(1).
  package func table(at version: CatalogVersion) -> RouteTable? {
    writer.published.withHistory { $0.table(at: version) }
  }

  /// What changed from the version before to this one; nil unless both are retained. O(*e* log *n*)
  /// for *e* events.
  package func delta(to version: CatalogVersion) -> RouteDelta? {
    let pair = writer.published.withHistory { history in
      version > .zero
        ? (history.table(at: CatalogVersion(version.rawValue - 1)), history.version(version))
        : (nil, nil)
    }
    guard let old = pair.0, let new = pair.1 else { return nil }
    return RouteDelta.between(old, new.table, touching: new.events)
  }

  /// The position of the first entry that the log holds, or that the next one gets. O(log *n*).
  package func firstPosition() throws(StoreError) -> LogPosition { try log.firstPosition() }

  /// Entries from a position on; see ``EventLog/entries(from:maxCount:maxBytes:)``.
  package func entries(
    from start: LogPosition, maxCount: Int, maxBytes: Int = .max
  ) throws(StoreError) -> [EncodedEntry] {
    try log.entries(from: start, maxCount: maxCount, maxBytes: maxBytes)
  }

  /// The bytes of entries from a position on; see ``CatalogLog/entryBytes(from:maxCount:maxBytes:)``.
  package func entryBytes(
    from start: LogPosition, maxCount: Int, maxBytes: Int = .max
  ) throws(StoreError) -> [[UInt8]] {
    try log.entryBytes(from: start, maxCount: maxCount, maxBytes: maxBytes)
  }

  /// The position of the entry that made a version; nil when the log does not have it.
  package func position(of version: CatalogVersion) throws(StoreError) -> LogPosition? {
    try log.position(of: version)
  }

  /// The receipt of a command that made an entry within the dedupe window; nil when none did.
  package func receipt(of command: CommandID) throws(StoreError) -> Receipt? {
    for position in try writer.positions(of: command) {
      guard let known = try log.knownCommand(at: position), known.record.command == command
      else { continue }
      return Receipt(repeating: known.record)
    }
    return nil
  }
}

// MARK: Being followed

extension CatalogStore {
  /// The commands that are known up to a position, for a log that goes on from there. O(*n*) in the
  /// size of the dedupe window.
  package func commandWindow(through last: LogPosition) throws(StoreError) -> CommandWindow {
    try log.commandWindow(through: last)
  }

  /// Takes up a learner; see ``LeaderSession/begin(_:log:view:messageByteCount:)``.
  package func beginFollowing(
    _ start: FollowStart, view: LeaderView, messageByteCount: Int
  ) throws(StoreError) -> (session: LeaderSession, first: FollowMessage) {
    try LeaderSession.begin(start, log: log, view: view, messageByteCount: messageByteCount)
  }
}

// MARK: Waiting

extension CatalogStore {
  /// A wake-up for each time that ``current`` moves on, several at once as one. Look at ``current``
  /// after the call and before the first wait. Ends with the store.
  package func changes() -> AsyncStream<Void> { writer.wakeUps.listen() }

  /// How many listen to ``changes()`` now.
  package var listenerCount: Int { writer.wakeUps.listenerCount }

  /// Waits until `isEnough` holds for ``current``, and returns that state.
  ///
  /// - Throws: `CancellationError` when the task is cancelled or the store closed.
  package func wait(
    until isEnough: @Sendable (CatalogState) -> Bool
  ) async throws(CancellationError) -> CatalogState {
    let first = current
    if isEnough(first) { return first }
    let changes = changes()
    let second = current
    if isEnough(second) { return second }
    for await _ in changes {
      let state = current
      if isEnough(state) { return state }
    }
    throw CancellationError()
  }
}

// MARK: Writing

extension CatalogStore {
  /// Carries out a command: decided with others in the order in which they came, written with them
  /// in one transaction.
  ///
  /// `completion` is called once, when the outcome is durable: by the writer thread, which waits for
  /// it, or by the caller's own when the command is not even looked at.
  package func submit(
    _ command: Command,
    completion: @escaping @Sendable (Result<Receipt, CommandFailure>) -> Void
  ) {
    guard role != .learner else { return completion(.failure(.notLeader)) }
    writer.enqueue(command, completion)
  }

  /// Carries out a command; see ``submit(_:completion:)``. Goes on when its task is cancelled: what
  /// was handed over may happen.
  package func submit(_ command: Command) async throws(CommandFailure) -> Receipt {
    let result = await withCheckedContinuation { continuation in
      submit(command) { continuation.resume(returning: $0) }
    }
    return try result.get()
  }

  /// Appends what the keeper of the log has to say about it, in order with commands. `completion` is
  /// called once, when the note is durable or known not to be appended.
  ///
  /// - Precondition: No event of the note changes routes.
  package func append(
    _ note: Note, completion: @escaping @Sendable (Result<Receipt, CommandFailure>) -> Void
  ) {
    precondition(!note.events.contains(where: \.changesRoutes), "a note changes no routes")
    guard role != .learner else { return completion(.failure(.notLeader)) }
    if !writer.enqueue(.note(note, completion)) { completion(.failure(.closed)) }
  }

  /// Appends a note, and waits without blocking a thread; see ``append(_:completion:)``.
  @discardableResult
  package func append(_ note: Note) async throws(CommandFailure) -> Receipt {
    let result = await withCheckedContinuation { continuation in
      append(note) { continuation.resume(returning: $0) }
    }
    return try result.get()
  }

  /// Takes over entries that the leader decided: proves each, stores and publishes those that are
  /// proven. Entries that are here already are passed over. Blocks until they are durable.
  ///
  /// - Throws: ``StoreError/unproven(_:_:)`` for the first that does not follow; those before it are
  ///   kept, it and what follows are not.
  /// - Precondition: The store is a learner, or a member.
  package func appendReplicated(_ entries: [EncodedEntry]) throws(StoreError) {
    precondition(role != .leader, "a leader decides its entries itself")
    guard !entries.isEmpty else { return }
    try perform { .replicated(entries, $0) }
  }

  /// Like ``appendReplicated(_:)``, and waits without blocking a thread.
  package func replicate(_ entries: [EncodedEntry]) async throws(StoreError) {
    precondition(role != .leader, "a leader decides its entries itself")
    guard !entries.isEmpty else { return }
    try await perform { .replicated(entries, $0) }
  }

  /// Replaces state, log and history with a state that was fetched from elsewhere, to go on from, with
  /// the commands that are known up to there. Blocks until it is durable.
  ///
  /// - Throws: ``StoreError/otherCatalog(expected:found:)`` when it is another catalog's.
  /// - Precondition: The store is a learner, or a member.
  package func installState(
    _ state: CatalogState, commands: CommandWindow = CommandWindow()
  ) throws(StoreError) {
    precondition(role != .leader, "a leader's log is the truth")
    try perform { .install(state, commands, $0) }
  }

  /// Like ``installState(_:commands:)``, and waits without blocking a thread.
  package func install(
    _ state: CatalogState, commands: CommandWindow = CommandWindow()
  ) async throws(StoreError) {
    precondition(role != .leader, "a leader's log is the truth")
    try await perform { .install(state, commands, $0) }
  }

  private func perform(
    _ request: (@escaping StoreWriter.Done) -> StoreWriter.Request
  ) throws(StoreError) {
    let outcome = Monitor<StoreError??>(.none)
    guard writer.enqueue(request({ error in outcome.change { $0 = .some(error) } })) else {
      throw .unusable(reason: "it is closed")
    }
    if let error = outcome.wait(until: { $0 }) { throw error }
  }

  private func perform(
    _ request: (@escaping StoreWriter.Done) -> StoreWriter.Request
  ) async throws(StoreError) {
    let error = await withCheckedContinuation { continuation in
      guard writer.enqueue(request({ continuation.resume(returning: $0) })) else {
        return continuation.resume(returning: StoreError.unusable(reason: "it is closed"))
      }
    }
    if let error { throw error }
  }
}
