import Catalog
import CrashPlan
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Replay

extension CrashTests {
  /// Killed at any moment of a compaction, a log is whole; and a reader in another process, which
  /// stays over many files, reads on.
  @Test func aCompactionThatIsKilledLeavesAWholeLog() throws {
    let folder = TemporaryFolder()
    var generator = SeededGenerator(seed: testSeeds(count: 1)[0])
    var state: CatalogState?
    var lasting: EventLog?
    var compactionCount = 0
    for round in 0..<40 {
      let seed = UInt64.random(in: 1...UInt64(Int64.max), using: &generator)
      let delay = Int.random(in: 0...30_000, using: &generator)
      let comment: Comment = "round \(round), seed \(seed), \(delay) us"
      let lines = try kill(
        after: delay, sinceLine: round % 2 == 0 ? 2 : 12, ["compact", folder.path, "\(seed)"])
      compactionCount += lines.count { $0 == "compacted" }
      let promised = lines.compactMap { line -> UInt64? in
        let fields = line.split(separator: " ").compactMap { UInt64($0) }
        return fields.count == 2 ? fields[1] : nil
      }
      let log = try lasting ?? #require(try reader(of: folder.path))
      lasting = log
      let summary = try Verifier(log).verify()
      #expect(summary.last.rawValue >= promised.max() ?? 0, comment)
      // What was read before is what is there now.
      var next = try state ?? log.start()
      try Replayer(log).replay(onto: &next)
      #expect(next.digest == summary.digest, comment)
      state = next
    }
    #expect(compactionCount > 0)
    lasting = nil
    let store = try CatalogStore.open(
      folder: folder.path, wallMilliseconds: { 1_785_312_000_000 })
    #expect(store.condition == nil)
    // A commit that the last kill met between its last write and its end is not seen by readers that
    // were there then, and was acknowledged to nobody; who opens the log anew finds it done.
    var last = try #require(state)
    try Replayer(store.log).replay(onto: &last)
    #expect(store.current.digest == last.digest)
    #expect(last.appliedThrough.rawValue <= (state?.appliedThrough.rawValue ?? 0) + 1)
    store.close()
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/compaction"))
  }
}
