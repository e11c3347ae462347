import TestSupport
import Testing

@testable import Catalog

@Suite struct RouteIndexVersionTests {
  /// Versions are made from any retained version, so they branch, and are dropped in any order.
  @Test(arguments: testSeeds(count: 12))
  func everyRetainedVersionStaysWhatItWas(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let store = IndexStore(fanOut: 4)
    var retained: [(index: RouteIndex, twin: SortedArray)] = [
      (RouteIndex(in: store), SortedArray())
    ]
    // Few branches, many, or a line with a window.
    let branching = [1, 4, 100][Int(seed % 3)]
    for step in 0..<400 {
      let source = random.below(branching) == 0 ? retained.count - 1 : random.below(retained.count)
      var (index, twin) = retained[source]
      change(&index, &twin, &random)
      retained.append((index, twin))
      if random.below(20) == 0 {
        // A speculative version that is dropped at once.
        change(&index, &twin, &random)
      }
      while retained.count > 12 || (retained.count > 1 && random.below(4) == 0) {
        retained.remove(at: random.below(3) == 0 ? 0 : random.below(retained.count))
      }
      if random.below(3) == 0 { store.reclaim(limit: random.below(40)) }
      if step % 10 == 0 {
        for (index, twin) in retained {
          index.checkInvariants()
          #expect(index.allEntries == twin.entries, "seed \(seed) step \(step)")
        }
        store.reclaim(limit: .max)
        let reachable = retained.reduce(into: Set<UInt>()) {
          $0.formUnion($1.index.reachableNodes())
        }
        #expect(store.nodeCount >= reachable.count, "seed \(seed) step \(step)")
        checkFreed(store, retained.map(\.index), "seed \(seed) step \(step)")
      }
    }
    while !retained.isEmpty { retained.remove(at: random.below(retained.count)) }
    store.reclaim(limit: .max)
    #expect(store.nodeCount == 0 && store.nodeByteCount == 0, "seed \(seed)")
    #expect(store.versionCount == 0, "seed \(seed)")
  }

  /// With a version that branched and is no longer held, what its branches replaced waits for one
  /// of them to go; otherwise exactly what is reachable is alive.
  private func checkFreed(_ store: IndexStore, _ indexes: [RouteIndex], _ context: String) {
    guard store.versionCount == Set(indexes.map(\.version.slot)).count else { return }
    let reachable = indexes.reduce(into: Set<UInt>()) { $0.formUnion($1.reachableNodes()) }
    #expect(store.nodeCount == reachable.count, "\(context)")
  }

  private func change(
    _ index: inout RouteIndex, _ twin: inout SortedArray, _ random: inout SeededGenerator
  ) {
    index.edit { editor in
      for _ in 0...random.below(6) {
        if random.below(5) < 2, !twin.entries.isEmpty {
          let key = twin.entries[random.below(twin.entries.count)].key
          editor.remove(key)
          _ = twin.remove(key)
        } else {
          let key = KeyShape.shared.draw(&random)
          let payload = drawPayload(&random)
          editor.upsert(key, payload)
          twin.upsert(key, payload)
        }
      }
    }
  }

  @Test func aWindowOfVersionsHoldsNoMoreThanItCanSee() {
    let store = IndexStore()
    var random = SeededGenerator(seed: 1)
    var index = RouteIndex(in: store)
    index.edit { editor in
      for _ in 0..<5_000 { editor.upsert(KeyShape.plain.draw(&random), [1]) }
    }
    var window: [RouteIndex] = []
    for _ in 0..<500 {
      index.edit { _ = $0.upsert(KeyShape.plain.draw(&random), [2]) }
      window.append(index)
      if window.count > 64 { window.removeFirst() }
    }
    store.reclaim(limit: .max)
    let reachable = window.reduce(into: Set<UInt>()) { $0.formUnion($1.reachableNodes()) }
    #expect(store.nodeCount == reachable.count)
    #expect(store.versionCount == window.count)
  }

  /// Nobody calls `reclaim`: writers keep what waits within bounds by themselves.
  @Test func writersReclaimWhenNobodyElseDoes() {
    let store = IndexStore()
    var index = RouteIndex(in: store)
    for step in 0..<20_000 {
      let key = withUnsafeBytes(of: UInt64(step % 1_000).bigEndian, Array.init)
      index.edit { _ = $0.upsert(key, [UInt8(step & 0xFF)]) }
    }
    #expect(store.nodeCount < index.reachableNodes().count + 10_000)
  }

  /// Long lines of versions are taken down without recursion.
  @Test func manyVersionsAreDroppedAtOnce() {
    let store = IndexStore(fanOut: 4)
    var versions: [RouteIndex] = []
    var index = RouteIndex(in: store)
    for step in 0..<20_000 {
      let key = withUnsafeBytes(of: UInt64(step % 100).bigEndian, Array.init)
      index.edit { _ = $0.upsert(key, []) }
      versions.append(index)
    }
    versions.removeAll()
    index = RouteIndex(in: store)
    store.reclaim(limit: .max)
    #expect(store.nodeCount == 0)
  }
}
