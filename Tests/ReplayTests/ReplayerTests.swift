import Catalog
import StateMachines
import TestSupport
import Testing

@testable import Replay

@Suite struct ReplayerTests {
  let folder = TemporaryFolder()
  let count = 300

  private func makeLog(_ name: String, _ entries: [EncodedEntry]) throws -> EventLog {
    let log = try EventLog.create(folder: folder.appending(name), catalog: testCatalog)
    try log.append(entries)
    return log
  }

  /// A replayer that hands over few entries at once, so that short logs use the second thread.
  private func replayer(_ log: EventLog) -> Replayer {
    var replayer = Replayer(log)
    replayer.pipeline.sliceCount = 7
    replayer.pipeline.depth = 2
    return replayer
  }

  @Test func fullAndIncrementalReplaysAgree() throws {
    let (entries, state) = try makeEntries(count)
    let log = try makeLog("log", entries)
    #expect(try replayer(log).replay().digest == state.digest)
    #expect(try Replayer(log).replay().lastHash == state.lastHash)
    var partial = try replayer(log).replay(through: LogPosition(123))
    #expect(partial.appliedThrough == LogPosition(123))
    #expect(partial.digest == entries[122].entry.digest)
    try replayer(log).replay(onto: &partial, through: LogPosition(124))
    #expect(partial.appliedThrough == LogPosition(124))
    try replayer(log).replay(onto: &partial)
    #expect(partial.digest == state.digest)
    // There is nothing left to do.
    try replayer(log).replay(onto: &partial, through: LogPosition(7))
    #expect(partial.digest == state.digest)
  }

  @Test func progressIsReported() throws {
    let log = try makeLog("log", try makeEntries(count).entries)
    var replayer = replayer(log)
    var reports: [ReplayProgress] = []
    var seen: [LogPosition] = []
    replayer.onProgress = { reports.append($0) }
    replayer.onEntry = { state, entry in
      #expect(state.appliedThrough == entry.position)
      seen.append(entry.position)
    }
    _ = try replayer.replay()
    #expect(seen == (1...UInt64(count)).map { LogPosition($0) })
    #expect(reports.last?.entryCount == UInt64(count))
    #expect(reports.last?.entryTotal == UInt64(count))
    #expect(reports.last?.position == LogPosition(UInt64(count)))
    #expect(reports.map(\.entryCount) == reports.map(\.entryCount).sorted())
  }

  @Test func aReplayIsCancelled() throws {
    let log = try makeLog("log", try makeEntries(count).entries)
    var replayer = replayer(log)
    var slices = 0
    replayer.onProgress = { _ in slices += 1 }
    replayer.isCancelled = { slices == 3 }
    var state = try log.start()
    #expect(throws: StoreError.cancelled(after: LogPosition(21))) {
      try replayer.replay(onto: &state)
    }
    #expect(state.appliedThrough == LogPosition(21))
    replayer.isCancelled = nil
    try replayer.replay(onto: &state)
    #expect(state.appliedThrough == LogPosition(UInt64(count)))
  }

  @Test func aReplayStopsBeforeTheEntryThatIsWrong() throws {
    let log = try makeLog("log", try makeEntries(count).entries)
    try log.environment.write { transaction throws(StoreError) in
      let bytes = try transaction.value(of: 100, in: log.tables.entries) { [UInt8]($0) }
      guard var bytes else { throw .gap(expected: LogPosition(100), found: .zero) }
      bytes[60] ^= 8
      try bytes.withRawBytes { (raw) throws(StoreError) in
        try transaction.put(raw, for: 100, in: log.tables.entries)
      }
    }
    var state = try log.start()
    #expect {
      try replayer(log).replay(onto: &state)
    } throws: { error in
      guard case StoreError.unproven(LogPosition(100), _) = error else { return false }
      return true
    }
    #expect(state.appliedThrough == LogPosition(99))
  }

  /// What a second thread finds out late is told as if it had been found at once.
  @Test(arguments: [UInt64(1), 100, 299, 300])
  func aReplayStopsBeforeTheEntryWhoseDigestIsWrong(position: UInt64) throws {
    let entries = try makeEntries(count).entries
    var previous = EntryHash.genesis(of: testCatalog)
    let forged = try entries.map { encoded in
      var entry = encoded.entry
      entry.previous = previous
      if entry.position.rawValue == position { entry.digest = .zero }
      let forged = try EncodedEntry(entry)
      previous = forged.hash
      return forged
    }
    let log = try makeLog("log", forged)
    var state = try log.start()
    #expect {
      try Replayer(log).replay(onto: &state)
    } throws: { error in
      guard case StoreError.poisoned(let entry) = error else { return false }
      return entry.position == LogPosition(position)
    }
    #expect(state.appliedThrough.rawValue == position - 1)
    let before = CatalogState(catalog: testCatalog).digest
    #expect(state.digest == (position == 1 ? before : entries[Int(position) - 2].entry.digest))
  }

  // MARK: Rebuilding

  @Test func aMirrorIsRebuilt() throws {
    let (entries, state) = try makeEntries(count)
    let source = try makeLog("source", entries)
    let target = try EventLog.create(folder: folder.appending("target"), catalog: testCatalog)
    #expect(try Replayer(source).rebuild(target).digest == state.digest)
    #expect(try target.entries(from: LogPosition(1), maxCount: 999) == entries)
    #expect(try Verifier(target).verify() == (try Verifier(source).verify()))
    #expect(try target.isMirror())
    #expect(try !source.isMirror())
    // Again: nothing to do.
    #expect(try Replayer(source).rebuild(target).digest == state.digest)
  }

  @Test func aRebuildThatWasBrokenOffGoesOn() throws {
    let (entries, state) = try makeEntries(count)
    let source = try makeLog("source", entries)
    let target = try makeLog("target", Array(entries[..<77]))
    #expect(try Replayer(source).rebuild(target).digest == state.digest)
    #expect(try target.lastPosition() == LogPosition(UInt64(count)))
  }

  @Test func aMirrorOfALogWithABaseGetsTheBase() throws {
    let (entries, state) = try makeEntries(count)
    let source = try EventLog.create(folder: folder.appending("source"), catalog: testCatalog)
    try source.install(base: try stateAfter(200, of: entries))
    try source.append(Array(entries[200...]))
    for known in [0, 200, 250] {
      let target = try makeLog("target \(known)", Array(entries[..<known]))
      #expect(try Replayer(source).rebuild(target).digest == state.digest)
      #expect(try Verifier(target).verify().headHash == state.lastHash)
    }
  }

  /// A mirror that becomes a leader knows what was asked for, not only what happened.
  @Test func aRebuiltMirrorKnowsWhatWasAsked() throws {
    let (entries, _) = try makeEntries(9)
    let source = try EventLog.create(folder: folder.appending("source"), catalog: testCatalog)
    let asked = ChangeFingerprint(of: split("anything"))
    try source.append(entries, fingerprints: [commandID(4): asked])
    let target = try EventLog.create(folder: folder.appending("target"), catalog: testCatalog)
    try Replayer(source).rebuild(target)
    #expect(try target.commandRow(at: LogPosition(4))?.fingerprint == asked)
    #expect(try target.commandRow(at: LogPosition(5))?.fingerprint == nil)
  }

  /// A base must not take the place of entries: they may be the only copy.
  @Test func aBaseErasesNoEntries() throws {
    let (entries, _) = try makeEntries(count)
    let source = try EventLog.create(folder: folder.appending("source"), catalog: testCatalog)
    try source.install(base: try stateAfter(200, of: entries))
    try source.append(Array(entries[200...]))
    for known in [1, 50, 199] {
      let target = try makeLog("target \(known)", Array(entries[..<known]))
      let expected = StoreError.wouldErase(
        folder: target.folder, through: LogPosition(UInt64(known)), first: LogPosition(201))
      #expect(throws: expected) { try Replayer(source).rebuild(target) }
      #expect(try target.entries(from: LogPosition(1), maxCount: 999) == Array(entries[..<known]))
    }
    let based = try EventLog.create(folder: folder.appending("based"), catalog: testCatalog)
    try based.install(base: try stateAfter(100, of: entries))
    #expect(throws: StoreError.self) { try Replayer(source).rebuild(based) }
    #expect(try based.base()?.appliedThrough == LogPosition(100))
  }

  @Test func anotherHistoryIsNotOverwritten() throws {
    let (entries, _) = try makeEntries(20)
    let source = try makeLog("source", entries)
    var state = try stateAfter(5, of: entries)
    guard
      case .append(let fork) = try state.propose(
        command(999, split("fork")), time: state.lastTime.next)
    else { return }
    let target = try makeLog("target", Array(entries[..<5]) + [fork])
    #expect {
      try Replayer(source).rebuild(target)
    } throws: { error in
      guard case StoreError.unproven(LogPosition(6), .forked) = error else { return false }
      return true
    }
    #expect(try target.tail().hash == fork.hash)
    let other = try EventLog.create(
      folder: folder.appending("other"), catalog: catalogID("another catalog1"))
    #expect(throws: StoreError.self) { try Replayer(source).rebuild(other) }
  }
}
