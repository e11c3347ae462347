import Catalog
import CrashPlan
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Replay

extension CrashTests {
  /// Killed at any moment of a trim, a log is whole: what was acknowledged counts, the state that it
  /// begins after is there, and each trim gets its marker once.
  @Test func aTrimThatIsKilledLeavesAWholeLog() throws {
    let folder = TemporaryFolder()
    var generator = SeededGenerator(seed: testSeeds(count: 1)[0])
    var trimCount = 0
    var bases: [CatalogVersion] = []
    var markers: [LogPosition] = []
    for round in 0..<40 {
      let seed = UInt64.random(in: 1...UInt64(Int64.max), using: &generator)
      let delay = Int.random(in: 0...30_000, using: &generator)
      let comment: Comment = "round \(round), seed \(seed), \(delay) us"
      let lines = try kill(
        after: delay, sinceLine: [2, 8, 30][round % 3], ["trim", folder.path, "\(seed)"])
      trimCount += lines.count { $0.hasPrefix("trimmed") }
      let promised = lines.compactMap { line -> UInt64? in
        let fields = line.split(separator: " ").compactMap { UInt64($0) }
        return fields.count == 2 ? fields[1] : nil
      }
      // A trim that was broken off may have left rows, which are no part of the log.
      let (summary, base) = try proven(folder.path)
      #expect(summary.last.rawValue >= promised.max() ?? 0, comment)
      #expect(base >= bases.last ?? .zero, comment)
      bases.append(base)
      // What was broken off is finished, and marked.
      let store = try CatalogStore.open(
        folder: folder.path, wallMilliseconds: { 1_785_312_000_000 })
      #expect(store.condition == nil, comment)
      #expect(store.current.version == summary.version, comment)
      if base > .zero {
        let first = try store.firstPosition()
        for encoded in try store.entries(from: first, maxCount: .max) {
          guard case .logTrimmed(let marker)? = encoded.entry.events.first else { continue }
          #expect(marker.isSigned(for: CrashPlan.catalog), comment)
          if marker.through > markers.last ?? .zero { markers.append(marker.through) }
        }
      }
      _ = try CrashPlan.trim(store)
      let first = try store.checkpoints?.roots().first?.version
      let version = store.current.version
      store.close()
      #expect(try version == proven(folder.path).summary.version, comment)
      if let first { #expect(try first == proven(folder.path).base, comment) }
    }
    #expect(trimCount > 0)
    #expect(markers == markers.sorted() && Set(markers).count == markers.count)
  }

  /// A disk that is full refuses a checkpoint or a trim; the log goes on, and they are made later.
  @Test func aFullDiskDuringUpkeepIsForgotten() throws {
    let folder = TemporaryFolder()
    let lines = try run(["limited-upkeep", folder.path])
    #expect(
      lines == [
        "first checkpoint refused true", "second checkpoint refused true", "trim refused true",
        "301 601 601 602",
      ])
    let (summary, base) = try proven(folder.path)
    #expect(base == CatalogVersion(601))
    #expect(summary.version == CatalogVersion(603))
  }

  private func proven(
    _ folder: String
  ) throws -> (summary: LogSummary, base: CatalogVersion) {
    let log = try EventLog.open(folder: folder, mode: .readOnly, provesEnd: false)
    let summary = try Verifier(log).verify()
    // Whatever was trimmed, and wherever that was broken off, every command is known.
    var known: [UInt64] = []
    try log.scanCommands { position, _ in
      known.append(position.rawValue)
      return true
    }
    #expect(known == Array(1...summary.last.rawValue))
    return (summary, try log.base()?.version ?? .zero)
  }
}
