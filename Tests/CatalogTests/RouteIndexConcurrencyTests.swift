import Synchronization
import TestSupport
import Testing

@testable import Catalog

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

@Suite struct RouteIndexConcurrencyTests {
  /// Readers take the newest version over and over, look around in it and drop it, while a writer
  /// makes new ones and another thread frees what nobody can see. Each version maps every key to
  /// the same number, so a reader that sees parts of two versions, or freed memory, notices.
  @Test(arguments: testSeeds(count: 2))
  func readersSeeOneVersionEach(seed: UInt64) {
    let store = IndexStore(fanOut: 4)
    let newest = Newest(Self.version(of: RouteIndex(in: store), number: 0, seed: seed))
    let isDone = Atomic<Bool>(false)
    let seen = Atomic<Int>(0)

    let writer = TestThread {
      for number in UInt64(1)...120 {
        newest.replace { Self.version(of: $0, number: number, seed: seed &+ number) }
      }
      isDone.store(true, ordering: .releasing)
    }
    let reclaimer = TestThread {
      while !isDone.load(ordering: .acquiring) { store.reclaim(limit: 16) }
    }
    let readers = (0..<3).map { reader in
      TestThread {
        var random = SeededGenerator(seed: seed &* 31 &+ UInt64(reader))
        while !isDone.load(ordering: .acquiring) {
          newest.withCopy { Self.check($0, &random) }
          seen.wrappingAdd(1, ordering: .relaxed)
        }
      }
    }
    writer.join()
    reclaimer.join()
    for reader in readers { reader.join() }
    #expect(seen.load(ordering: .relaxed) > 0)

    newest.withCopy { last in
      last.checkInvariants()
      store.reclaim(limit: .max)
      #expect(store.nodeCount == last.reachableNodes().count, "seed \(seed)")
    }
  }

  /// Two threads make versions from the same one, each its own line.
  @Test func linesOfVersionsGrowSideBySide() {
    let store = IndexStore(fanOut: 4)
    let base = Self.version(of: RouteIndex(in: store), number: 0, seed: 1)
    let threads = (0..<2).map { line in
      TestThread {
        var index = base
        for number in UInt64(1)...80 {
          index = Self.version(of: index, number: number, seed: number &* 7 &+ UInt64(line))
        }
        var random = SeededGenerator(seed: 1)
        Self.check(index, &random)
      }
    }
    for thread in threads { thread.join() }
    base.checkInvariants()
    store.reclaim(limit: .max)
    #expect(store.nodeCount == base.reachableNodes().count)
  }

  /// An edit that leaves two of the trees and the hashes to another thread comes to the same.
  @Test func twoThreadsMakeOneVersion() throws {
    let worker = TestWorker()
    func table(isShared: Bool) throws -> RouteTable {
      var table = RouteTable(in: IndexStore(fanOut: 4))
      try table.edit(version: CatalogVersion(1), time: HybridTimestamp(1)) {
        editor throws(RouteTableError) in
        if isShared {
          editor.deferChanges(to: worker, recordByteCount: 500, changeCount: 5) { $1.expected }
        }
        try editor.bootstrap([RouteSeed(id: RouteID(1), start: .least, group: GroupID(1))])
        var starts: [(route: RouteID, start: Key)] = []
        var random = SeededGenerator(seed: 7)
        for id in UInt64(2)..<1_500 {
          let cut = Key("\(100_000 - id)")
          try editor.split(
            route: RouteID(1), start: .least, boundary: cut, newRoute: RouteID(id))
          starts.append((RouteID(id), cut))
          if random.oneIn(3), let right = starts.popLast(), let left = starts.last {
            // The one that was cut off last lies to the left.
            try editor.merge(
              route: right.route, start: right.start, boundary: left.start, absorbed: left.route)
            starts[starts.count - 1] = right
          }
          try editor.move(
            route: RouteID(1), start: .least, from: GroupID(id - 1), to: GroupID(id))
          editor.expect(
            DigestExpectation(
              position: LogPosition(id), version: CatalogVersion(1), nextRouteID: RouteID(id),
              others: .zero, expected: .zero))
        }
      }
      return table
    }
    let (alone, shared) = (try table(isShared: false), try table(isShared: true))
    #expect(shared.count == alone.count)
    #expect(shared.digest == alone.digest)
    // Not the first: the sanitizer takes the one empty array of all threads for a race.
    for id in stride(from: UInt64(2), to: 1_500, by: 7) {
      #expect(shared.route(id: RouteID(id))?.group == alone.route(id: RouteID(id))?.group)
    }
  }

  /// The next version: all keys that stay, and some new ones, mapped to `number`.
  private static func version(of base: RouteIndex, number: UInt64, seed: UInt64) -> RouteIndex {
    var random = SeededGenerator(seed: seed)
    var next = base
    let payload = withUnsafeBytes(of: number, Array.init)
    next.edit { editor in
      for key in base.allEntries.map(\.key) {
        if random.oneIn(6) { editor.remove(key) } else { editor.upsert(key, payload) }
      }
      for _ in 0..<8 { editor.upsert(KeyShape.shared.draw(&random), payload) }
    }
    return next
  }

  private static func check(_ index: RouteIndex, _ random: inout SeededGenerator) {
    var numbers: Set<[UInt8]> = []
    for _ in 0..<20 {
      KeyShape.shared.draw(&random).withUnsafeBytes { key in
        index.withEntry(atOrBefore: key) { entry in
          if let entry { numbers.insert(Array(entry.payload)) }
        }
      }
    }
    var cursor = RouteIndex.Cursor(index)
    cursor.seekToFirst()
    var count = 0
    while let entry = cursor.entry {
      numbers.insert(Array(entry.payload))
      count += 1
      cursor.moveToNext()
    }
    precondition(count == index.count && numbers.count == 1, "a version is one version")
  }
}

/// The newest version, behind a lock that the thread sanitizer knows, as it does not know `Mutex`.
///
/// Nor does it see reference counts go down: copies are dropped under the lock too, so that what a
/// reader read is ordered before what frees it.
private final class Newest: @unchecked Sendable {
  // Unchecked: `value` is read and written under `lock` alone.
  private var value: RouteIndex
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

  init(_ value: RouteIndex) {
    self.value = value
    pthread_mutex_init(lock, nil)
  }

  deinit {
    pthread_mutex_destroy(lock)
    lock.deallocate()
  }

  func withCopy(_ body: (RouteIndex) -> Void) {
    pthread_mutex_lock(lock)
    var copy = Optional(value)
    pthread_mutex_unlock(lock)
    copy.map(body)
    pthread_mutex_lock(lock)
    copy = nil
    pthread_mutex_unlock(lock)
  }

  func replace(_ next: (RouteIndex) -> RouteIndex) {
    withCopy { old in
      let new = next(old)
      pthread_mutex_lock(lock)
      value = new
      pthread_mutex_unlock(lock)
    }
  }
}
