import Catalog
import Glibc
import StateMachines
import Synchronization

/// Makes checkpoints of a store's states, on a thread of its own, so that the one who writes the log
/// does not wait for it.
///
/// A checkpoint that fails is noted and tried again later; the register goes on.
final class Checkpointer: Sendable {
  typealias Completion = @Sendable (Result<CheckpointRoot?, StoreError>) -> Void
  /// Told of each root that was written, with its state and that of the root before, where it is at
  /// hand.
  typealias Hook = @Sendable (CheckpointRoot, CatalogState, CatalogState?) -> Void

  private struct Work {
    /// What was published since the last checkpoint.
    var versions: UInt64 = 0
    var events: UInt64 = 0
    var requests: [Completion] = []
    /// Another history began.
    var isNewEra = false
    var isBackingOff = false
    var isClosed = false
  }

  let policy: CheckpointPolicy
  private let published: Published
  private let wallMilliseconds: @Sendable () -> UInt64
  /// Why nothing is to be checkpointed: the log is not whole.
  private let obstacle: @Sendable () -> StoreError?
  private let work = Monitor(Work())
  private let writer: Mutex<CheckpointWriter>
  /// Nil as long as there are no checkpoints.
  private let opened: Mutex<CheckpointStore?>
  private let failure = Mutex<StoreError?>(nil)
  private let hook = Mutex<Hook?>(nil)
  private let committer = Mutex<(@Sendable (CatalogState, CheckpointStore) -> Void)?>(nil)
  private let failureHook = Mutex<(@Sendable (StoreError) -> Void)?>(nil)
  private let thread = Mutex<WorkerThread?>(nil)

  /// `writer` knows the checkpoints that are there; `behind` is what was replayed since the last one.
  /// As long as `obstacle` names something, none is made.
  init(
    _ writer: CheckpointWriter, published: Published, policy: CheckpointPolicy,
    behind: CheckpointPolicy.Growth, wallMilliseconds: @escaping @Sendable () -> UInt64,
    obstacle: @escaping @Sendable () -> StoreError?
  ) {
    self.obstacle = obstacle
    opened = Mutex(writer.store)
    self.writer = Mutex(writer)
    self.published = published
    self.policy = policy
    self.wallMilliseconds = wallMilliseconds
    work.withLock { ($0.versions, $0.events) = (behind.versions, behind.events) }
  }

  /// Starts the thread. Once.
  func start() throws(StoreError) {
    let started = try WorkerThread(name: "checkpointer") { self.run() }
    thread.withLock { $0 = started }
  }

  /// The checkpoints that are there; nil as long as there are none.
  var store: CheckpointStore? { opened.withLock { $0 } }

  /// Why the last checkpoint was not made; nil when it was.
  var condition: StoreError? { failure.withLock { $0 } }

  func setHook(_ hook: Hook?) { self.hook.withLock { $0 = hook } }

  /// Lets `committer` commit to each state that a root was written of. Before the hook is told.
  func setCommitter(_ committer: (@Sendable (CatalogState, CheckpointStore) -> Void)?) {
    self.committer.withLock { $0 = committer }
  }

  func setFailureHook(_ hook: (@Sendable (StoreError) -> Void)?) {
    failureHook.withLock { $0 = hook }
  }

  /// Takes note of what was published. O(1), wakes the thread seldom.
  func note(versions: UInt64, events: UInt64) {
    let isNews = work.withLock { work in
      let isFirst = work.versions == 0
      work.versions += versions
      work.events += events
      guard work.versions > 0 else { return false }
      return isFirst || isDueByCount(work)
    }
    if isNews { work.wake() }
  }

  /// Lets all checkpoints be removed: what is published does not follow from what was.
  func beginEra() {
    work.change { work in
      work.isNewEra = true
      work.versions += 1
    }
  }

  /// Asks for a checkpoint of what is published now. The answer is the newest root: the one that was
  /// there already when the version has not moved on, nil when the catalog is empty.
  func request(_ completion: @escaping Completion) {
    let isTaken = work.change { work in
      if !work.isClosed { work.requests.append(completion) }
      return !work.isClosed
    }
    if !isTaken { completion(.failure(.unusable(reason: "it is closed"))) }
  }

  /// Ends the thread: what is under way is finished, and a last checkpoint made where much would have
  /// to be replayed. Again: a no-op.
  func close() {
    work.change { $0.isClosed = true }
    let thread = thread.withLock { $0 }
    if let thread, !thread.isCurrent { thread.join() }
  }

  /// Whether the caller runs on the thread that makes checkpoints.
  var isCurrent: Bool { thread.withLock { $0?.isCurrent ?? false } }

  private func isDueByCount(_ work: Work) -> Bool {
    !work.isBackingOff
      && policy.isDue(CheckpointPolicy.Growth(versions: work.versions, events: work.events))
  }

  // MARK: The thread

  private static let firstPause: UInt64 = 1_000
  private static let longestPause: UInt64 = 300_000
  /// How long the thread sleeps between two looks at the clock while a version waits to grow old.
  private static let glance: Duration = .seconds(1)

  private func run() {
    // On Linux 0 means this thread. Without lower priority it does as well.
    _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 5)
    var last = wallMilliseconds()
    var pause = Self.firstPause
    var retry: UInt64?
    while true {
      let isTicking = work.withLock { $0.versions > 0 }
      let work = nextWork(isTicking: isTicking)
      let now = wallMilliseconds()
      let age = Duration.milliseconds(Int64(clamping: now - min(now, last)))
      let growth = CheckpointPolicy.Growth(
        versions: work.versions, events: work.events, age: age)
      let isDue = policy.isDue(growth) && retry.map { now >= $0 } ?? true
      let isWanted =
        isDue || !work.requests.isEmpty || work.isClosed && policy.isDueAtClose(growth)
      if isWanted || work.isNewEra {
        let result = checkpoint(work)
        switch result {
        case .success:
          (retry, pause) = (nil, Self.firstPause)
          last = now
        case .failure:
          retry = now + pause
          pause = min(pause * 2, Self.longestPause)
        }
        self.work.withLock { $0.isBackingOff = retry != nil }
        for request in work.requests { request(result) }
      } else if let due = retry, now >= due {
        retry = nil
        self.work.withLock { $0.isBackingOff = false }
      }
      if work.isClosed { break }
    }
    // They may refer to the store, which refers to this.
    setHook(nil)
    setCommitter(nil)
    setFailureHook(nil)
  }

  /// Sleeps until there may be something to do.
  private func nextWork(isTicking: Bool) -> Work {
    let limit = isTicking ? min(Self.glance, policy.age) : nil
    var taken = Work()
    work.wait(atMost: limit) { work in
      let isUrgent =
        work.isClosed || work.isNewEra || !work.requests.isEmpty || isDueByCount(work)
        || !isTicking && work.versions > 0
      return isUrgent ? () : nil
    }
    work.withLock { work in
      taken = work
      work.requests = []
      work.isNewEra = false
    }
    return taken
  }

  private func checkpoint(_ work: Work) -> Result<CheckpointRoot?, StoreError> {
    do throws(StoreError) {
      if let obstacle = obstacle() { throw obstacle }
      let state = published.current
      let outcome = try writer.withLock { writer throws(StoreError) in
        if work.isNewEra { writer.beginEra() }
        let outcome = try writer.checkpoint(state)
        opened.withLock { $0 = writer.store }
        return outcome
      }
      self.work.withLock {
        $0.versions -= min($0.versions, work.versions)
        $0.events -= min($0.events, work.events)
      }
      failure.withLock { $0 = nil }
      if let root = outcome.root, outcome.isNew {
        if let store { committer.withLock { $0 }?(state, store) }
        hook.withLock { $0 }?(root, state, outcome.previous)
      }
      return .success(outcome.root)
    } catch {
      failure.withLock { $0 = error }
      failureHook.withLock { $0 }?(error)
      return .failure(error)
    }
  }
}
