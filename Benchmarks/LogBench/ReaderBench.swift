import BenchSupport
import Catalog
import Foundation
import Glibc
import Replay
import StateMachines
import Synchronization

/// What a lookup costs while a writer publishes, and what while nobody does: each reader takes the
/// published state anew for every lookup, as a node does for every call.
final class ReaderBench: Sendable {
  private static let lookupsPerGlance = 1_000
  private let store: CatalogStore
  private let routeCount: Int
  private let keys: [Key]

  init(folder: String, routeCount: Int) throws {
    self.routeCount = routeCount
    store = try CatalogStore.create(
      folder: folder, catalog: EntryMaker.catalog, wallMilliseconds: wallMilliseconds)
    try submit(EntryMaker.bootstrap(routeCount: routeCount), to: store)
    // Numbers that no split of this bench has.
    keys = (0..<200_000).map { EntryMaker.boundary(1 << 40 + UInt64($0)) }
  }

  /// Up to so many readers at once, each quiet and busy in turn, for so long.
  func run(readers limit: Int, each duration: Duration) {
    var next = 1
    for readers in 1...limit {
      for _ in 0..<3 {
        read(readers, for: duration, writing: nil)
        next = read(readers, for: duration, writing: next)
      }
    }
    store.close()
  }

  /// Reads with so many threads, and writes from the command `first` on where there is one.
  ///
  /// - Returns: The number of the next command.
  @discardableResult
  private func read(_ readers: Int, for duration: Duration, writing first: Int?) -> Int {
    let before = store.current.version
    let hasEnded = Atomic(false)
    let totals = Mutex((lookups: 0, processor: UInt64(0), checksum: UInt64(0)))
    let group = DispatchGroup()
    let (start, store, keys) = (Start(), store, keys)
    for reader in 0..<readers {
      group.enter()
      Thread.detachNewThread {
        var (lookups, checksum, index) = (0, UInt64(0), reader * 7919)
        let processor = threadProcessor()
        while !hasEnded.load(ordering: .relaxed) {
          for _ in 0..<Self.lookupsPerGlance {
            let owner = keys[index % keys.count].bytes.withUnsafeBytes {
              store.current.routes.owner(of: $0)
            }
            checksum &+= owner?.route.rawValue ?? 0
            index += 1
          }
          lookups += Self.lookupsPerGlance
        }
        let spent = threadProcessor() - processor
        totals.withLock {
          $0.lookups += lookups
          $0.processor += spent
          $0.checksum &+= checksum
        }
        group.leave()
      }
    }
    var next = first ?? 0
    if first != nil {
      let end = now() + UInt64(duration / .nanoseconds(1))
      while now() < end {
        // So many at a time: what is published is what a busy node publishes.
        _ = ClientRun(store: store, first: next, count: 64).run(clients: 16)
        next += 64
      }
    } else {
      usleep(UInt32(duration / .microseconds(1)))
    }
    hasEnded.store(true, ordering: .relaxed)
    group.wait()
    let (lookups, processor, checksum) = totals.withLock { $0 }
    let each = Double(processor) / Double(max(1, lookups))
    report(
      "readers",
      [
        "readers": readers, "writing": first == nil ? 0 : 1, "routes": store.current.routes.count,
        "versions": store.current.version.rawValue - before.rawValue,
        "lookup_ns": (each * 10).rounded() / 10, "checksum": checksum,
      ], count: lookups, unit: "lookups", since: start, nil)
    return next
  }
}

/// Nanoseconds that this thread has had a processor.
private func threadProcessor() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
