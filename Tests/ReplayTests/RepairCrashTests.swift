import Catalog
import CrashPlan
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Replay

extension CrashTests {
  /// Killed at any moment of a repair, a folder has its old log or the mended one, whole; and a repair
  /// that is begun again mends it, whatever the one before left.
  @Test(arguments: [false, true])
  func aRepairThatIsKilledMakesNothingWorse(trimmed: Bool) throws {
    let folder = TemporaryFolder()
    let (damaged, peer) = (folder.appending("damaged"), folder.appending("peer"))
    let before = try makeDamaged(damaged, peer: peer, trimmed: trimmed)
    let checkpointCount = trimmed ? 1 : 6
    let old = try Data(contentsOf: URL(filePath: damaged + "/data.mdb"))
    var generator = SeededGenerator(seed: testSeeds(count: 1)[0])
    var (oldCount, mendedCount) = (0, 0)
    for round in 0..<10 {
      // Each has a folder of its own: this process maps the files of those before.
      let path = folder.appending("round-\(round)")
      try FileManager.default.copyItem(atPath: damaged, toPath: path)
      // Sometimes it is killed twice.
      for _ in 0..<(generator.oneIn(3) ? 2 : 1) {
        let delay = Int.random(in: 0...40_000, using: &generator)
        let comment: Comment = "round \(round), \(delay) us"
        _ = try kill(after: delay, sinceLine: 1, ["repair", path, peer])
        if try Data(contentsOf: URL(filePath: path + "/data.mdb")) == old {
          oldCount += 1
        } else {
          mendedCount += 1
          let log = try EventLog.open(folder: path, mode: .readOnly, provesEnd: false)
          #expect(try log.lastPosition() == before.last, comment)
          #expect(try log.hash(at: before.last) == before.headHash, comment)
        }
      }
      let report = try Repairer(folder: path, from: FolderPeer(folder: peer)).repair(dryRun: false)
      let comment: Comment = "round \(round)"
      #expect(report.summary == before, comment)
      let log = try EventLog.open(folder: path, mode: .readOnly)
      let checkpoints = try #require(
        try CheckpointStore.open(folder: path, mode: .readOnly, catalog: log.catalog))
      let summary = try Verifier(log, checkpoints: checkpoints).verify()
      #expect(summary.foreignCheckpointCount == 0, comment)
      // None went that was there, also not those behind the damaged one.
      #expect(summary.checkpointCount == checkpointCount, comment)
      #expect(!FileManager.default.fileExists(atPath: path + "/repair"), comment)
    }
    #expect(oldCount > 0 || mendedCount > 0)
  }

  /// A log of 401 entries with flipped ones among them and a damaged checkpoint, and a peer with the
  /// same history. Nothing keeps either open on return.
  private func makeDamaged(
    _ path: String, peer peerPath: String, trimmed: Bool
  ) throws -> LogSummary {
    var options = StoreOptions()
    options.checkpoints = .onRequest
    options.commitsToCheckpoints = false  // The peer has the same entries.
    let store = try CatalogStore.create(
      folder: path, catalog: CrashPlan.catalog, options: options,
      wallMilliseconds: { 1_785_312_000_000 })
    try CrashPlan.submit(CrashPlan.bootstrap, to: store) { _ in }
    for number in UInt64(0)..<400 {
      let command = CrashPlan.command(seed: 1, thread: 0, number: number)
      try CrashPlan.submit(command, to: store) { _ in }
      if number % 60 == 50 { _ = try store.checkpointNow() }
    }
    let source = try EventLog.open(folder: path, mode: .readOnly)
    let peer = try EventLog.create(folder: peerPath, catalog: CrashPlan.catalog)
    try Replayer(source).rebuild(peer)
    if trimmed {
      _ = try CrashPlan.trim(store)
      // The marker.
      try Replayer(source).rebuild(peer)
    }
    peer.releaseForWriting()
    store.close()
    let before = try Verifier(source).verify()
    let log = try EventLog.open(folder: path, mode: .readWrite, provesEnd: false)
    defer { log.releaseForWriting() }
    try log.environment.write { transaction throws(StoreError) in
      for position in [before.last.rawValue - 5, before.last.rawValue - 20] {
        var bytes =
          try transaction.value(of: position, in: log.tables.entries) { [UInt8]($0) } ?? []
        bytes[bytes.count - 3] ^= 4
        try bytes.withRawBytes { (raw) throws(StoreError) in
          try transaction.put(raw, for: position, in: log.tables.entries)
        }
      }
    }
    let checkpoints = try #require(
      try CheckpointStore.open(folder: path, mode: .readWrite, catalog: CrashPlan.catalog))
    let root = try #require(try checkpoints.roots().first?.trees[0].root?.id)
    try checkpoints.environment.write { transaction throws(StoreError) in
      try [UInt8(1), 2].withRawBytes { (raw) throws(StoreError) in
        try transaction.put(raw, for: root, in: checkpoints.tables.nodes)
      }
    }
    return before
  }
}
