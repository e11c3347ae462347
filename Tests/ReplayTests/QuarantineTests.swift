import Catalog
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// Entries that decode and are chained, and cannot be applied.
@Suite struct QuarantineTests {
  let folder = TemporaryFolder()
  let clock = TestClock()

  /// Ways in which an entry is in good order by itself and fits no state before it.
  enum Poison: CaseIterable {
    case unknownRoute, wrongDigest, earlierTime, wrongVersion

    func spoil(_ entry: inout LogEntry) {
      switch self {
      case .unknownRoute:
        entry.events = [
          .routeMoved(route: RouteID(77), start: key("no route"), from: GroupID(1), to: GroupID(2))
        ]
      case .wrongDigest: entry.digest = .zero
      case .earlierTime: entry.time = HybridTimestamp(1)
      case .wrongVersion: entry.version = CatalogVersion(entry.version.rawValue + 3)
      }
      entry.actor = "mallory\nhash 00"
    }
  }

  /// Forty entries of one chain, of which the one at `position` cannot be applied.
  static func entries(_ poison: Poison, at position: Int) throws -> [EncodedEntry] {
    var chain = try makeEntries(40).entries
    for index in position - 1..<chain.count {
      var entry = chain[index].entry
      if index == position - 1 { poison.spoil(&entry) }
      if index > 0 { entry.previous = chain[index - 1].hash }
      chain[index] = try EncodedEntry(entry)
    }
    return chain
  }

  private func expect(
    _ error: StoreError?, is entry: EncodedEntry, keptIn folder: String,
    _ location: SourceLocation = #_sourceLocation
  ) throws {
    guard case .poisoned(let poison)? = error else {
      Issue.record("\(String(describing: error))", sourceLocation: location)
      return
    }
    #expect(poison.position == entry.entry.position, sourceLocation: location)
    #expect(poison.hash == entry.hash, sourceLocation: location)
    #expect(poison.command == entry.entry.command, sourceLocation: location)
    #expect(poison.actor == entry.entry.actor, sourceLocation: location)
    let text = "\(poison)"
    #expect(text.contains("\(poison.hash)") && text.contains(poison.problem))
    let path = folder + "/quarantine/entry-\(poison.position).txt"
    #expect(poison.report == path, sourceLocation: location)
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
    #expect(lines[1] == "position \(poison.position)", sourceLocation: location)
    #expect(lines[2] == "hash \(entry.hash)", sourceLocation: location)
    #expect(lines.filter { $0.hasPrefix("hash ") }.count == 1, sourceLocation: location)
    let kept = lines.dropFirst(10).flatMap { bytes(hexadecimal: $0) ?? [] }
    #expect(kept == entry.bytes, sourceLocation: location)
  }

  @Test(arguments: Poison.allCases, [1, 2, 21, 40])
  func aStoreServesTheVersionBefore(poison: Poison, position: Int) async throws {
    // A log's own index takes rising versions only, and nothing comes before the first entry.
    if poison == .wrongVersion, position < 40 { return }
    if poison == .earlierTime, position == 1 { return }
    let entries = try Self.entries(poison, at: position)
    do {
      let log = try EventLog.create(folder: folder.path, catalog: testCatalog)
      try log.append(entries)
    }
    for _ in 0..<2 {
      let store = try CatalogStore.open(folder: folder.path, wallMilliseconds: clock.read)
      defer { store.close() }
      try expect(store.condition, is: entries[position - 1], keptIn: folder.path)
      #expect(store.current.appliedThrough == LogPosition(UInt64(position) - 1))
      let failure = await #expect(throws: CommandFailure.self) {
        try await store.submit(command(100, split("x")))
      }
      guard case .storage(.poisoned)? = failure else {
        Issue.record("\(String(describing: failure))")
        return
      }
    }
    let log = try EventLog.open(folder: folder.path, mode: .readOnly)
    #expect(try log.lastPosition() == LogPosition(40))
    let error = #expect(throws: StoreError.self) { try Verifier(log).verify() }
    guard case .poisoned? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test(arguments: Poison.allCases, [2, 21, 40])
  func aLearnerKeepsItAndGoesOnWithTheRightOne(poison: Poison, position: Int) throws {
    let entries = try Self.entries(poison, at: position)
    let (good, state) = try makeEntries(40)
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: StoreOptions(role: .learner),
      wallMilliseconds: clock.read)
    for _ in 0..<3 {
      let error = #expect(throws: StoreError.self) { try store.appendReplicated(entries) }
      try expect(error, is: entries[position - 1], keptIn: folder.path)
      #expect(store.quarantined?.hash == entries[position - 1].hash)
      #expect(store.condition == nil, "the entry is the leader's")
      #expect(store.current.appliedThrough == LogPosition(UInt64(position) - 1))
    }
    try store.appendReplicated(good)
    #expect(store.quarantined == nil)
    #expect(store.current.digest == state.digest)
    store.close()
  }

  @Test func aMirrorGetsTheReportOfARebuild() throws {
    let entries = try Self.entries(.unknownRoute, at: 33)
    let source = try EventLog.create(folder: folder.appending("source"), catalog: testCatalog)
    try source.append(entries)
    let target = try EventLog.create(folder: folder.appending("target"), catalog: testCatalog)
    let error = #expect(throws: StoreError.self) { try Replayer(source).rebuild(target) }
    try expect(error, is: entries[32], keptIn: target.folder)
    #expect(try target.lastPosition() == LogPosition(32))
    #expect(try Verifier(target).verify().last == LogPosition(32))
  }

  /// What nothing vouches for is damage.
  @Test func damageIsNotPoison() throws {
    var entries = try Self.entries(.wrongDigest, at: 20)
    entries = try makeEntries(19).entries + [entries[19]] + makeEntries(40).entries[20...]
    let store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: StoreOptions(role: .learner),
      wallMilliseconds: clock.read)
    let error = #expect(throws: StoreError.self) { try store.appendReplicated(entries) }
    guard case .unproven(LogPosition(20), .diverged)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(store.quarantined == nil)
    store.close()
  }
}
