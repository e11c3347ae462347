import Catalog
import StateMachines
import Synchronization

/// A region's stream on disk and in memory: the log, the state that it makes, and the one thread that
/// writes.
///
/// Nothing is visible in ``current``, and nobody has an answer, before it is durable. All of it may be
/// used from any thread. The work itself is ``RegionCore``'s.
package final class RegionStore: Sendable {
  package typealias Completion = @Sendable (Result<RegionReceipt, RegionFailure>) -> Void

  /// What is told of entries that became durable, with the state after them, before anybody has an
  /// answer: by the writer thread, which waits.
  package typealias Observer = @Sendable ([EncodedEntry], RegionState) -> Void

  /// What the writer thread is asked for.
  private enum Work: Sendable {
    case command(RegionCommand, Completion)
    /// Entries from the stream's leader.
    case entries([EncodedEntry], @Sendable (StoreError?) -> Void)
    /// A state from the stream's leader.
    case state(RegionState, CommandWindow, @Sendable (StoreError?) -> Void)
    /// Leads from now on what was a mirror.
    case lead(RegionLeadTerms, @Sendable (StoreError?) -> Void)
    /// Shares a stream from now on.
    case share(any SharedStream, RegionLeadTerms, @Sendable (StoreError?) -> Void)
  }

  private struct Queue {
    var waiting: [Work] = []
    /// Work that was taken in and has no answer yet.
    var unanswered = 0
    var isMirror: Bool
    var isClosed = false
  }

  private final class Shared: Sendable {
    let state: Mutex<RegionState>
    let failure: Mutex<StoreError?>
    let terms: Mutex<RegionLeadTerms?>
    /// Counts the states that were taken over whole.
    let era = Mutex(0)
    let queue: Monitor<Queue>
    let wakeUps = WakeUps()

    init(_ core: RegionCore, _ role: Role) {
      state = Mutex(core.state)
      failure = Mutex(core.failure)
      terms = Mutex(role.terms)
      queue = Monitor(Queue(isMirror: role.isMirror))
    }
  }

  package let region: Region
  package let catalog: CatalogID
  package let options: RegionOptions
  /// The log where its stream is shared with others; nil where it is this node's alone.
  package let sharedLog: SharedRegionLog?
  private let log: any RegionLog
  /// Who decided what is added to the log, when it was opened.
  package let keeper: LogKeeper
  private let shared: Shared
  private let release: @Sendable () -> Void
  private let thread: WorkerThread

  /// What part the folder plays in its stream.
  package struct Role: Sendable {
    package var isMirror: Bool
    /// On what terms it is led from here; nil where it was never noted.
    package var terms: RegionLeadTerms?

    package init(isMirror: Bool, terms: RegionLeadTerms? = nil) {
      self.isMirror = isMirror
      self.terms = terms
    }
  }

  /// Opens the stream of a region within the folder of a catalog's log, or makes it where there is
  /// none, and replays it.
  ///
  /// `wallMilliseconds` is the wall clock, in milliseconds since 1970, which the writer thread reads.
  /// With `mirrors` a stream that is made is a mirror, which follows that of its leader; one that is
  /// there stays what it is. See ``isMirror``. With `isShared` the stream is one that others lead, too,
  /// which ``share(_:on:)`` says.
  ///
  /// - Throws: ``StoreError/ofCluster(folder:_:)`` when it is shared with others, and opened otherwise.
  package static func open(
    folder: String, region: Region, catalog: CatalogID, options: RegionOptions = RegionOptions(),
    mirrors: Bool = false, isShared: Bool = false,
    wallMilliseconds: @escaping @Sendable () -> UInt64,
    observer: @escaping Observer = { _, _ in }
  ) throws(StoreError) -> RegionStore {
    let log = try RegionEventLog.openOrCreate(
      folder: RegionEventLog.folder(of: region, in: folder), region: region, catalog: catalog,
      options: options.log)
    if mirrors, try log.lastPosition() == .zero, try log.leadTerms() == nil {
      try log.becomeMirror()
    }
    let (keeper, terms) = (try log.log.keeper(), try log.leadTerms())
    // A mirror becomes no member by itself.
    guard isShared, keeper != .mirrored else {
      // Those who share a stream lead it in turn; any of them may mirror it.
      if case .cluster(let name) = keeper, !mirrors {
        throw .ofCluster(folder: RegionEventLog.folder(of: region, in: folder), name)
      }
      return try RegionStore(
        log, options: options, role: Role(isMirror: keeper != .leader, terms: terms),
        wallMilliseconds: wallMilliseconds, observer: observer,
        noteTerms: { (terms) throws(StoreError) in try log.lead(on: terms) },
        release: { log.releaseForWriting() })
    }
    let shared = SharedRegionLog(log)
    return try RegionStore(
      shared, options: options, role: Role(isMirror: true, terms: terms), keeper: keeper,
      wallMilliseconds: wallMilliseconds, observer: observer,
      noteShared: { (stream, terms) throws(StoreError) in
        try log.share(stream.name, on: terms)
        shared.share(stream)
      }, release: { log.releaseForWriting() })
  }

  /// A store on any log. `noteTerms` puts on record that it is led from here, and `release` is called
  /// when it writes no more.
  package init(
    _ log: any RegionLog, options: RegionOptions = RegionOptions(),
    role: Role = Role(isMirror: false), keeper: LogKeeper = .leader,
    wallMilliseconds: @escaping @Sendable () -> UInt64,
    observer: @escaping Observer = { _, _ in },
    noteTerms: @escaping @Sendable (RegionLeadTerms) throws(StoreError) -> Void = { _ in },
    noteShared:
      @escaping @Sendable (any SharedStream, RegionLeadTerms) throws(StoreError) -> Void = { _, _ in
      },
    release: @escaping @Sendable () -> Void = {}
  ) throws(StoreError) {
    let core = try RegionCore(log, options: options)
    let shared = Shared(core, role)
    self.log = log
    sharedLog = log as? SharedRegionLog
    self.keeper = keeper
    region = log.region
    catalog = log.catalog
    self.options = options
    self.shared = shared
    self.release = release
    thread = try WorkerThread(name: "region-writer") {
      Self.run(
        core, shared, wallMilliseconds, observer, Notes(terms: noteTerms, shared: noteShared))
    }
  }

  /// What is put on record beside the stream, by the writer thread.
  private struct Notes: Sendable {
    var terms: @Sendable (RegionLeadTerms) throws(StoreError) -> Void
    var shared: @Sendable (any SharedStream, RegionLeadTerms) throws(StoreError) -> Void
  }

  deinit {
    shared.queue.change { $0.isClosed = true }
    // The last reference may be the one that a completion held, on the thread itself.
    if !thread.isCurrent { thread.join() }
    release()
  }

  /// Finishes what waits, stops the writer and lets others write the folder. Again: a no-op. Blocks.
  ///
  /// - Precondition: Not called from a completion or from the observer.
  package func close() {
    precondition(!thread.isCurrent, "a completion cannot wait for its own thread")
    shared.queue.change { $0.isClosed = true }
    thread.join()
    release()
  }

  /// The last durable state. O(1).
  package var current: RegionState { shared.state.withLock { $0 } }

  /// Why the store takes no more writes; nil as long as it does.
  package var condition: StoreError? { shared.failure.withLock { $0 } }

  /// Whether the stream is a mirror: entries come from its leader, and commands are refused.
  package var isMirror: Bool { shared.queue.withLock { $0.isMirror } }

  /// On what terms the stream is led from here; nil where it was never noted.
  package var terms: RegionLeadTerms? { shared.terms.withLock { $0 } }

  /// Counts the states that were taken over whole: entries do not lead from one to the next.
  package var era: Int { shared.era.withLock { $0 } }

  /// A wake-up for each time that ``current`` moves on, several at once as one.
  package func changes() -> AsyncStream<Void> { shared.wakeUps.listen() }

  /// Carries out a command: decided with others in the order in which they came, written with them in
  /// one transaction.
  ///
  /// `completion` is called once, when the outcome is durable: by the writer thread, which waits for
  /// it, or by the caller's own when the command is not even looked at.
  package func submit(_ command: RegionCommand, completion: @escaping Completion) {
    let limit = options.maximumWaitingCount
    let folder = RegionEventLog.folder(of: region, in: ".")
    let refusal = shared.queue.withLock { queue -> RegionFailure? in
      if queue.isClosed { return .closed }
      if queue.isMirror { return .storage(.isMirror(folder: folder)) }
      guard queue.unanswered < limit else { return .overloaded(waiting: queue.unanswered) }
      queue.unanswered += 1
      queue.waiting.append(.command(command, completion))
      return nil
    }
    if let refusal { return completion(.failure(refusal)) }
    shared.queue.wake()
  }

  /// Carries out a command; see ``submit(_:completion:)``. Goes on when its task is cancelled.
  package func submit(_ command: RegionCommand) async throws(RegionFailure) -> RegionReceipt {
    let result = await withCheckedContinuation { continuation in
      submit(command) { continuation.resume(returning: $0) }
    }
    return try result.get()
  }

  // MARK: - Following

  /// The commands that are known up to a position: for who takes over the state there. O(*n*) in their
  /// number. Blocks.
  package func commandWindow(through last: LogPosition) throws(StoreError) -> CommandWindow {
    try log.commandWindow(through: last)
  }

  /// Takes up somebody who follows the stream; see ``LeaderSession``.
  package func beginFollowing(
    _ start: FollowStart, view: LeaderView, messageByteCount: Int
  ) throws(StoreError) -> (session: LeaderSession, first: FollowMessage) {
    try LeaderSession.begin(
      start, log: FollowedRegionLog(log: log), view: view, messageByteCount: messageByteCount)
  }

  /// Takes over entries of the stream's leader: proves and appends those that are not there yet.
  /// They are durable and shown on return.
  ///
  /// - Throws: ``StoreError/unproven(_:_:)`` at the first that does not follow; those before it are
  ///   taken over.
  package func replicate(_ entries: [EncodedEntry]) async throws(StoreError) {
    try await mirroring { .entries(entries, $0) }
  }

  /// Takes over a state of the stream's leader, and the commands that are known there, in the place of
  /// all that is here.
  package func install(
    _ state: RegionState, commands: CommandWindow
  ) async throws(StoreError) {
    guard state.catalog == catalog else {
      throw .otherCatalog(expected: catalog, found: state.catalog)
    }
    try await mirroring { .state(state, commands, $0) }
  }

  private func mirroring(
    _ work: @Sendable (@escaping @Sendable (StoreError?) -> Void) -> Work
  ) async throws(StoreError) {
    let error = await withCheckedContinuation { continuation in
      let refusal = enqueue(work { continuation.resume(returning: $0) }, asMirror: true)
      if let refusal { continuation.resume(returning: refusal) }
    }
    if let error { throw error }
  }

  /// Lets the stream be led from here on these terms, be it a mirror or not. On record on return.
  package func lead(on terms: RegionLeadTerms) async throws(StoreError) {
    let error = await withCheckedContinuation { continuation in
      let refusal = enqueue(
        .lead(terms) { continuation.resume(returning: $0) }, asMirror: false)
      if let refusal { continuation.resume(returning: refusal) }
    }
    if let error { throw error }
  }

  // MARK: - Sharing

  /// Shares a stream with others from now on, in a store that was opened for that: follows it until
  /// ``lead(in:after:orLost:)``. On record on return.
  package func share(
    _ stream: any SharedStream, on terms: RegionLeadTerms
  ) async throws(StoreError) {
    try await mirroring { .share(stream, terms, $0) }
  }

  /// Leads a term of the shared stream that was won, the stream having ended with `tail` since then; see
  /// ``StreamLead/lead(in:after:found:orLost:)``. `orLost` is called by the thread that writes.
  package func lead(
    in term: ClusterTerm, after tail: LogTail, orLost: @escaping StreamLead.Loss
  ) throws(StoreError) {
    guard let lead = sharedLog?.lead else { throw .notLeading("regions/\(region)") }
    let state = current
    try lead.lead(
      in: term, after: tail,
      found: LogTail(position: state.appliedThrough, hash: state.lastHash, version: .zero),
      orLost: orLost)
    shared.queue.withLock { $0.isMirror = false }
  }

  /// Follows the shared stream from now on.
  package func stopLeading() {
    sharedLog?.lead?.stopLeading()
    shared.queue.withLock { $0.isMirror = true }
  }

  /// How many commands have no answer yet.
  package var waitingCount: Int { shared.queue.withLock { $0.unanswered } }

  /// - Returns: Why it is not taken in; nil when it is.
  private func enqueue(_ work: Work, asMirror: Bool) -> StoreError? {
    let refusal = shared.queue.withLock { queue -> StoreError? in
      if queue.isClosed { return .unusable(reason: "it is closed") }
      if asMirror, !queue.isMirror {
        return .unusable(reason: "the stream of region \(region) is led from here")
      }
      queue.unanswered += 1
      queue.waiting.append(work)
      return nil
    }
    if refusal == nil { shared.queue.wake() }
    return refusal
  }

  // MARK: - The writer thread

  /// The body of the writer thread: returns when the store is closed and nothing waits.
  private static func run(
    _ core: RegionCore, _ shared: Shared, _ wall: @Sendable () -> UInt64, _ observer: Observer,
    _ notes: Notes
  ) {
    var core = core
    while true {
      let waiting = shared.queue.wait { queue -> [Work]? in
        guard !queue.waiting.isEmpty || queue.isClosed else { return nil }
        defer { queue.waiting = [] }
        return queue.waiting
      }
      guard !waiting.isEmpty else { break }
      var rest = waiting[...]
      while let work = rest.first {
        switch work {
        case .command: carryOut(&rest, with: &core, shared, wall, observer)
        case .entries(let entries, let completion):
          rest.removeFirst()
          let result = core.replicate(entries)
          show(result.publish, of: core, shared, observer)
          answered(1, by: core, shared)
          completion(result.thenFail)
        case .state(let state, let commands, let completion):
          rest.removeFirst()
          let error = failure { () throws(StoreError) in
            try core.install(state, commands: commands)
          }
          if error == nil {
            shared.era.withLock { $0 += 1 }
            shared.state.withLock { $0 = state }
            shared.wakeUps.wakeAll()
          }
          answered(1, by: core, shared)
          completion(error)
        case .lead(let terms, let completion):
          rest.removeFirst()
          let error = failure { () throws(StoreError) in try notes.terms(terms) }
          if error == nil {
            shared.terms.withLock { $0 = terms }
            shared.queue.withLock { $0.isMirror = false }
          }
          answered(1, by: core, shared)
          completion(error)
        case .share(let stream, let terms, let completion):
          rest.removeFirst()
          let error = failure { () throws(StoreError) in try notes.shared(stream, terms) }
          if error == nil { shared.terms.withLock { $0 = terms } }
          answered(1, by: core, shared)
          completion(error)
        }
      }
      // A slice of it: the next commands do not wait for more than that.
      _ = core.trim()
    }
    shared.wakeUps.finish()
  }

  private static func failure(_ body: () throws(StoreError) -> Void) -> StoreError? {
    do throws(StoreError) {
      try body()
      return nil
    } catch {
      return error
    }
  }

  /// Carries out the commands that `rest` begins with, as many as share a commit.
  private static func carryOut(
    _ rest: inout ArraySlice<Work>, with core: inout RegionCore, _ shared: Shared,
    _ wall: () -> UInt64, _ observer: Observer
  ) {
    var commands: [(command: RegionCommand, completion: Completion)] = []
    for work in rest {
      guard case .command(let command, let completion) = work else { break }
      commands.append((command, completion))
    }
    let commit = core.commit(commands.lazy.map(\.command), wall: wall)
    show(commit.publish, of: core, shared, observer)
    answered(commit.thenAnswer.count, by: core, shared)
    for ((_, completion), result) in zip(commands, commit.thenAnswer) { completion(result) }
    rest = rest.dropFirst(commit.thenAnswer.count)
  }

  private static func show(
    _ entries: [EncodedEntry], of core: RegionCore, _ shared: Shared, _ observer: Observer
  ) {
    guard !entries.isEmpty else { return }
    let state = core.state
    shared.state.withLock { $0 = state }
    observer(entries, state)
    shared.wakeUps.wakeAll()
  }

  private static func answered(_ count: Int, by core: RegionCore, _ shared: Shared) {
    let failure = core.failure
    shared.failure.withLock { $0 = failure }
    shared.queue.withLock { $0.unanswered -= count }
  }
}
