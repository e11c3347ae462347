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

  private struct Queue {
    var waiting: [(command: RegionCommand, completion: Completion)] = []
    /// Commands that were taken in and have no answer yet.
    var unanswered = 0
    var isClosed = false
  }

  private final class Shared: Sendable {
    let state: Mutex<RegionState>
    let failure: Mutex<StoreError?>
    let queue = Monitor(Queue())
    let wakeUps = WakeUps()

    init(_ core: RegionCore) {
      state = Mutex(core.state)
      failure = Mutex(core.failure)
    }
  }

  package let region: Region
  package let catalog: CatalogID
  package let options: RegionOptions
  private let shared: Shared
  private let release: @Sendable () -> Void
  private let thread: WorkerThread

  /// Opens the stream of a region within the folder of a catalog's log, or makes it where there is
  /// none, and replays it.
  ///
  /// `wallMilliseconds` is the wall clock, in milliseconds since 1970, which the writer thread reads.
  package static func open(
    folder: String, region: Region, catalog: CatalogID, options: RegionOptions = RegionOptions(),
    wallMilliseconds: @escaping @Sendable () -> UInt64, observer: @escaping Observer = { _, _ in }
  ) throws(StoreError) -> RegionStore {
    let log = try RegionEventLog.openOrCreate(
      folder: RegionEventLog.folder(of: region, in: folder), region: region, catalog: catalog,
      options: options.log)
    return try RegionStore(
      log, options: options, wallMilliseconds: wallMilliseconds, observer: observer
    ) { log.releaseForWriting() }
  }

  /// A store on any log. `release` is called when it writes no more.
  package init(
    _ log: any RegionLog, options: RegionOptions = RegionOptions(),
    wallMilliseconds: @escaping @Sendable () -> UInt64, observer: @escaping Observer = { _, _ in },
    release: @escaping @Sendable () -> Void = {}
  ) throws(StoreError) {
    let core = try RegionCore(log, options: options)
    let shared = Shared(core)
    region = log.region
    catalog = log.catalog
    self.options = options
    self.shared = shared
    self.release = release
    thread = try WorkerThread(name: "region-writer") {
      Self.run(core, shared, wallMilliseconds, observer)
    }
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

  /// A wake-up for each time that ``current`` moves on, several at once as one.
  package func changes() -> AsyncStream<Void> { shared.wakeUps.listen() }

  /// Carries out a command: decided with others in the order in which they came, written with them in
  /// one transaction.
  ///
  /// `completion` is called once, when the outcome is durable: by the writer thread, which waits for
  /// it, or by the caller's own when the command is not even looked at.
  package func submit(_ command: RegionCommand, completion: @escaping Completion) {
    let limit = options.maximumWaitingCount
    let refusal = shared.queue.withLock { queue -> RegionFailure? in
      if queue.isClosed { return .closed }
      guard queue.unanswered < limit else { return .overloaded(waiting: queue.unanswered) }
      queue.unanswered += 1
      queue.waiting.append((command, completion))
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

  /// The body of the writer thread: returns when the store is closed and nothing waits.
  private static func run(
    _ core: RegionCore, _ shared: Shared, _ wall: @Sendable () -> UInt64, _ observer: Observer
  ) {
    var core = core
    while true {
      let waiting = shared.queue.wait { queue -> [(command: RegionCommand, Completion)]? in
        guard !queue.waiting.isEmpty || queue.isClosed else { return nil }
        defer { queue.waiting = [] }
        return queue.waiting
      }
      guard !waiting.isEmpty else { break }
      var rest = waiting[...]
      while !rest.isEmpty {
        let commit = core.commit(rest.lazy.map(\.command), wall: wall)
        if !commit.publish.isEmpty {
          let state = core.state
          shared.state.withLock { $0 = state }
          observer(commit.publish, state)
          shared.wakeUps.wakeAll()
        }
        let failure = core.failure
        shared.failure.withLock { $0 = failure }
        shared.queue.withLock { $0.unanswered -= commit.thenAnswer.count }
        for ((_, completion), result) in zip(rest, commit.thenAnswer) { completion(result) }
        rest = rest.dropFirst(commit.thenAnswer.count)
      }
      // A slice of it: the next commands do not wait for more than that.
      _ = core.trim()
    }
    shared.wakeUps.finish()
  }
}
