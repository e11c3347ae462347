import TestSupport
import Testing

@testable import Catalog

@Suite struct RouteIndexTests {
  @Test(arguments: KeyShape.allCases, testSeeds(count: 4))
  func agreesWithASortedArray(shape: KeyShape, seed: UInt64) {
    run(seed: seed, fanOut: 4, steps: 400) { shape.draw(&$0) }
  }

  @Test(arguments: [4, 5, 8, 32], testSeeds(count: 3))
  func agreesWithASortedArrayOfAllShapes(fanOut: Int, seed: UInt64) {
    run(seed: seed, fanOut: fanOut, steps: 400) { KeyShape.drawAny(&$0) }
  }

  /// Phases of growth and of shrinking, so that nodes split, lend and merge on all levels.
  private func run(
    seed: UInt64, fanOut: Int, steps: Int, draw: (inout SeededGenerator) -> [UInt8]
  ) {
    var random = SeededGenerator(seed: seed)
    let store = IndexStore(fanOut: fanOut)
    var index = RouteIndex(in: store)
    var twin = SortedArray()
    for step in 0..<steps {
      let isShrinking = (step / (steps / 4)) % 2 == 1
      index.edit { editor in
        for _ in 0...random.below(3) {
          if random.below(10) < (isShrinking ? 8 : 2), !twin.entries.isEmpty {
            let key =
              random.below(4) == 0
              ? draw(&random) : twin.entries[random.below(twin.entries.count)].key
            let wasThere = twin.remove(key)
            #expect(editor.remove(key) == wasThere, "seed \(seed) step \(step)")
          } else {
            let key = draw(&random)
            let payload = drawPayload(&random)
            let isNew = !twin.position(of: key).found
            twin.upsert(key, payload)
            #expect(editor.upsert(key, payload) == isNew, "seed \(seed) step \(step)")
          }
        }
      }
      index.checkInvariants()
      #expect(index.count == twin.entries.count, "seed \(seed) step \(step)")
      compareLookups(index, twin, &random, "seed \(seed) step \(step)", draw)
      if step % 16 == 0 { #expect(index.allEntries == twin.entries, "seed \(seed) step \(step)") }
    }
    #expect(index.allEntries == twin.entries, "seed \(seed)")
    store.reclaim(limit: .max)
    #expect(store.nodeCount == index.reachableNodes().count, "seed \(seed)")
  }

  private func compareLookups(
    _ index: RouteIndex, _ twin: SortedArray, _ random: inout SeededGenerator, _ context: String,
    _ draw: (inout SeededGenerator) -> [UInt8]
  ) {
    for _ in 0..<4 {
      var key = draw(&random)
      if random.below(2) == 0, !twin.entries.isEmpty {
        key = twin.entries[random.below(twin.entries.count)].key
        if random.below(3) == 0, key.count < 4096 { key.append(0) }
        if random.below(3) == 0, !key.isEmpty { key.removeLast() }
      }
      let (index_, found) = twin.position(of: key)
      key.withUnsafeBytes { bytes in
        #expect(
          index.withEntry(atOrBefore: bytes) { $0.map(SortedArray.Entry.init) }
            == twin.atOrBefore(key), "\(context)")
        #expect(
          index.withEntry(at: bytes) { $0.map(SortedArray.Entry.init) }
            == (found ? twin.entries[index_] : nil), "\(context)")
        index.withEntries(around: bytes) { before, after in
          #expect(before.map(SortedArray.Entry.init) == twin.atOrBefore(key), "\(context)")
          #expect(after.map(SortedArray.Entry.init) == twin.after(key), "\(context)")
        }
        var cursor = RouteIndex.Cursor(index)
        cursor.seek(atOrAfter: bytes)
        #expect(cursor.entry.map(SortedArray.Entry.init) == twin.atOrAfter(key), "\(context)")
        cursor.moveToPrevious()
        if twin.atOrAfter(key) != nil {
          let before = index_ > 0 ? twin.entries[index_ - 1] : nil
          #expect(cursor.entry.map(SortedArray.Entry.init) == before, "\(context)")
        }
        cursor.seek(exactly: bytes)
        #expect(cursor.isOnEntry == found, "\(context)")
        cursor.seek(atOrBefore: bytes)
        #expect(cursor.entry.map(SortedArray.Entry.init) == twin.atOrBefore(key), "\(context)")
        cursor.moveToNext()
        if twin.atOrBefore(key) != nil {
          #expect(cursor.entry.map(SortedArray.Entry.init) == twin.after(key), "\(context)")
        }
      }
    }
  }

  @Test(arguments: testSeeds(count: 4))
  func iteratesBothWays(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var index = RouteIndex(in: IndexStore(fanOut: 4))
    var twin = SortedArray()
    index.edit { editor in
      for _ in 0..<300 {
        let key = KeyShape.drawAny(&random)
        editor.upsert(key, [1])
        twin.upsert(key, [1])
      }
    }
    var backwards: [SortedArray.Entry] = []
    var cursor = RouteIndex.Cursor(index)
    cursor.seekToLast()
    while let entry = cursor.entry {
      backwards.append(SortedArray.Entry(entry))
      cursor.moveToPrevious()
    }
    #expect(backwards.reversed() == twin.entries, "seed \(seed)")
    #expect(index.allEntries == twin.entries, "seed \(seed)")
  }

  @Test(arguments: [4, 32], [0, 1, 4, 5, 17, 33, 1_000, 5_000])
  func bulkBuildEqualsInserts(fanOut: Int, count: Int) {
    var random = SeededGenerator(seed: UInt64(count))
    var twin = SortedArray()
    var pool: Set<[UInt8]> = []
    while pool.count < count {
      pool.insert(count > 1_000 ? KeyShape.plain.draw(&random) : KeyShape.drawAny(&random))
    }
    for key in pool.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
      twin.upsert(key, drawPayload(&random))
    }
    let store = IndexStore(fanOut: fanOut)
    var builder = RouteIndex.Builder(in: store)
    for entry in twin.entries {
      entry.key.withUnsafeBytes { key in
        entry.payload.withUnsafeBytes { builder.append(key: key, payload: $0) }
      }
    }
    var index = builder.finish()
    index.checkInvariants()
    #expect(index.allEntries == twin.entries)
    #expect(store.nodeCount == index.reachableNodes().count)

    // What was built must take changes: emptied in random order, it holds nothing.
    for entry in twin.entries.shuffled(using: &random) {
      index.edit { _ = $0.remove(entry.key) }
      if fanOut == 4, count <= 1_000 { index.checkInvariants() }
    }
    index.checkInvariants()
    #expect(index.isEmpty)
    store.reclaim(limit: .max)
    #expect(store.nodeCount == 0 && store.nodeByteCount == 0)
  }

  @Test func anEditThatThrowsChangesNothing() {
    struct Refused: Error {}
    let store = IndexStore(fanOut: 4)
    var index = RouteIndex(in: store)
    index.edit { editor in
      for byte in UInt8(0)..<100 { editor.upsert([byte], [byte]) }
    }
    store.reclaim(limit: .max)
    let before = (index.allEntries, store.nodeCount, store.nodeByteCount)
    #expect(throws: Refused.self) {
      try index.edit { editor in
        for byte in UInt8(0)..<200 { editor.upsert([byte, byte], [byte]) }
        for byte in UInt8(0)..<90 { editor.remove([byte]) }
        throw Refused()
      }
    }
    index.checkInvariants()
    store.reclaim(limit: .max)
    #expect(index.allEntries == before.0)
    #expect(store.nodeCount == before.1 && store.nodeByteCount == before.2)
  }

  /// A needle between a separator and the first key of its leaf belongs to the leaf before.
  @Test func findsWhatIsBeforeALeafWhoseFirstKeyWasRemoved() {
    for removed in UInt8(1)..<60 {
      var index = RouteIndex(in: IndexStore(fanOut: 4))
      index.edit { editor in
        for byte in UInt8(0)..<60 { editor.upsert([byte], [byte]) }
        editor.remove([removed])
      }
      let found = [removed].withUnsafeBytes { index.withEntry(atOrBefore: $0) { $0?.key } }
      #expect(found == [removed - 1])
    }
  }

  @Test func aNodeOfTheLongestKeysAndPayloads() {
    var index = RouteIndex(in: IndexStore())
    var twin = SortedArray()
    var random = SeededGenerator(seed: 1)
    for step in 0..<400 {
      var key = [UInt8](repeating: 7, count: RouteIndex.maximumKeyLength)
      key[step % 2 == 0 ? 0 : key.count - 1] = UInt8(random.below(256))
      key[random.below(key.count)] = UInt8(random.below(256))
      let payload = [UInt8](
        repeating: UInt8(step & 0xFF), count: random.below(RouteIndex.maximumPayloadLength + 1))
      index.edit { editor in
        editor.upsert(key, payload)
        twin.upsert(key, payload)
        if step % 3 == 2, step > 200 || step % 2 == 0 {
          let victim = twin.entries[random.below(twin.entries.count)].key
          editor.remove(victim)
          _ = twin.remove(victim)
        }
      }
      index.checkInvariants()
    }
    #expect(index.allEntries == twin.entries)
  }
}
