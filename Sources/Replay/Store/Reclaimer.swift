import Catalog
import Glibc

/// Frees the index nodes of versions that nobody sees any more, on a thread of its own, so that who
/// writes does not have to.
final class Reclaimer: Sendable {
  private struct Work {
    var store: IndexStore?
    var outdated: [Published.Outdated] = []
    var isClosed = false
  }

  /// How many nodes are freed at once: a writer that makes a version waits for no more than these.
  private static let sliceCount = 256

  private let work: Monitor<Work>
  private let thread: WorkerThread

  init() throws(StoreError) {
    let work = Monitor(Work())
    self.work = work
    thread = try WorkerThread(name: "index-reclaim") {
      // On Linux 0 means this thread. Without lower priority it does as well.
      _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 5)
      while true {
        var outdated: [Published.Outdated] = []
        let store = work.wait { work -> IndexStore?? in
          swap(&outdated, &work.outdated)
          if work.isClosed { return .some(nil) }
          return work.store.take().map { .some($0) }
        }
        guard let store else { return }
        outdated = []
        while store.reclaim(limit: Self.sliceCount) > 0 { sched_yield() }
      }
    }
  }

  /// Drops what is outdated and looks for nodes of `store` to free, soon.
  func drop(_ outdated: Published.Outdated, wakingFor store: IndexStore) {
    work.change { work in
      work.outdated.append(outdated)
      work.store = store
    }
  }

  /// Ends the thread. Again: a no-op.
  func close() {
    work.change { $0.isClosed = true }
    thread.join()
  }

  deinit {
    work.change { $0.isClosed = true }
  }
}
