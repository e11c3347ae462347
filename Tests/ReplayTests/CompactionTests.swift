import Catalog
import Foundation
import StateMachines
import Synchronization
import TestSupport
import Testing

@testable import Replay

@Suite struct CompactionTests {
  let folder = TemporaryFolder()
  let clock = TestClock()

  /// A log of `count` entries that has `freed` bytes and more of free pages.
  private func spaciousLog(_ count: Int, freed: Int) throws -> EventLog {
    let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
    try log.append(try makeEntries(count).entries)
    for index in UInt64(0)..<UInt64(freed >> 16) {
      try log.environment.write { transaction throws(StoreError) in
        try [UInt8](repeating: 7, count: 64 << 10).withRawBytes { (bytes) throws(StoreError) in
          try transaction.put(bytes, for: index, in: log.tables.base)
        }
      }
    }
    try log.environment.write { transaction throws(StoreError) in
      try transaction.removeAll(from: log.tables.base)
    }
    return log
  }

  @Test func pagesAreGivenBack() throws {
    let log = try spaciousLog(500, freed: 8 << 20)
    let before = try Verifier(log).verify()
    let shrinkage = try log.compact()
    #expect(shrinkage.before > 8 << 20)
    #expect(shrinkage.after < 2 << 20)
    #expect(log.allocatedByteCount == shrinkage.after)
    #expect(try Verifier(log).verify() == before)
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/compaction"))
    // The log goes on where it was, also under a new opening.
    try log.append([try nextEntry(after: 500)])
    log.releaseForWriting()
    let again = try EventLog.open(folder: folder.path, mode: .readOnly)
    #expect(try Verifier(again).verify().last == LogPosition(501))
  }

  private func nextEntry(after count: Int) throws -> EncodedEntry {
    try makeEntries(count + 1).entries[count]
  }

  /// However often it is done, and however few transactions came between.
  @Test(arguments: testSeeds(count: 4))
  func manyTimesInARow(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let entries = try makeEntries(200).entries
    var log = try EventLog.create(folder: folder.path, catalog: testCatalog)
    var count = 0
    while count < entries.count {
      for _ in 0..<Int.random(in: 0...3, using: &generator) {
        let next = min(entries.count, count + Int.random(in: 1...9, using: &generator))
        try log.append(Array(entries[count..<next]))
        count = next
      }
      _ = try log.compact()
      #expect(try log.lastPosition().rawValue == UInt64(count), "seed \(seed)")
      if generator.oneIn(3) {
        log.releaseForWriting()
        log = try EventLog.open(folder: folder.path, mode: .readWrite)
      }
    }
    #expect(try Verifier(log).verify().entryCount == 200, "seed \(seed)")
  }

  @Test func readersAndWritersGoOn() async throws {
    var options = StoreOptions()
    options.commitsToCheckpoints = false  // Entries are counted here.
    options.log.initialMapSize = 256 << 10
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: options, wallMilliseconds: clock.read)
    _ = try await store.submit(command(1, oneRoute))
    let isDone = Atomic(false)
    let readers = try (0..<2).map { _ throws(StoreError) in
      try WorkerThread(name: "reader") {
        while !isDone.load(ordering: .relaxed) {
          let last = store.current.appliedThrough
          let read = (try? store.entries(from: LogPosition(1), maxCount: 3_000)) ?? []
          #expect(read.count >= min(3_000, Int(last.rawValue)))
        }
      }
    }
    let compactions = Atomic(0)
    let compactor = try WorkerThread(name: "compactor") {
      while !isDone.load(ordering: .relaxed) {
        #expect(throws: Never.self) { try store.compactLog() }
        compactions.add(1, ordering: .relaxed)
      }
    }
    for batch in UInt64(0)..<20 {
      await withTaskGroup(of: Void.self) { group in
        for number in UInt64(0)..<50 {
          let id = 2 + batch * 50 + number
          group.addTask {
            await #expect(throws: Never.self) {
              try await store.submit(command(id, split(padded(id))))
            }
          }
        }
      }
    }
    isDone.store(true, ordering: .relaxed)
    for reader in readers + [compactor] { reader.join() }
    #expect(compactions.load(ordering: .relaxed) > 0)
    #expect(store.current.appliedThrough == LogPosition(1_001))
    #expect(store.condition == nil)
    store.close()
    let log = try EventLog.open(folder: folder.path, mode: .readOnly)
    #expect(try Verifier(log).verify().entryCount == 1_001)
  }

  @Test func aDiskThatIsFullLeavesTheLogAsItIs() throws {
    let log = try spaciousLog(100, freed: 1 << 20)
    // Something is in the way of the new file.
    _ = FileManager.default.createFile(atPath: folder.path + "/compaction", contents: Data([1]))
    #expect(throws: StoreError.self) { try log.compact() }
    #expect(try Verifier(log).verify().entryCount == 100)
    try log.append([try nextEntry(after: 100)])
  }

  @Test func whatIsNoDataFileIsNotRenumbered() throws {
    let path = folder.path + "/file"
    try FileManager.default.createDirectory(
      atPath: folder.path, withIntermediateDirectories: true)
    for count in [0, 10, 200, 9_000] {
      try Data(repeating: 0xAB, count: count).write(to: URL(filePath: path))
      #expect(throws: StoreError.self) { try DataFile.renumber(path, from: 2, to: 4) }
      #expect(try Data(contentsOf: URL(filePath: path)) == Data(repeating: 0xAB, count: count))
    }
  }
}
