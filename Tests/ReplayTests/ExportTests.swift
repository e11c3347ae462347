import Catalog
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// Exports lead to the same catalog elsewhere, or to nothing.
@Suite struct ExportTests {
  let folder = TemporaryFolder()
  var file: String { folder.appending("catalog.export") }
  var target: String { folder.appending("restored") }

  init() throws {
    try FileManager.default.createDirectory(atPath: folder.path, withIntermediateDirectories: true)
  }

  private func bytes() throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: file))) }

  private func write(_ bytes: [UInt8]) throws {
    try Data(bytes).write(to: URL(filePath: file))
  }

  @Test(arguments: testSeeds(count: 2))
  func aWholeLogComesBackEntryByEntry(seed: UInt64) throws {
    let story = try CommittedStory(seed: seed, count: 80, interval: 9)
    let outcome = try Exporter(story.log, checkpoints: nil).exportLog(to: file)
    #expect(outcome.byteCount == UInt64(try bytes().count))
    #expect(outcome.manifest.entryCount == 80)
    let manifest = try Restorer().restore(file, into: target)
    #expect(manifest == outcome.manifest)
    let log = try EventLog.open(folder: target, mode: .readOnly)
    #expect(try log.entries(from: LogPosition(1), maxCount: .max) == story.entries)
    #expect(try Verifier(log).verify().headHash == story.entries.last?.hash)
    #expect(!FileManager.default.fileExists(atPath: target + ".restoring"))
    // It is a copy: nobody writes it by accident.
    #expect(throws: StoreError.self) {
      _ = try CatalogStore.open(folder: target, wallMilliseconds: { 0 })
    }
  }

  @Test func aLogThatBeginsAfterABaseComesBackWithIt() throws {
    let story = try AuditStory(seed: 3, count: 30, before: 25)
    let outcome = try Exporter(story.log, checkpoints: nil).exportLog(to: file)
    #expect(outcome.manifest.base?.state == story.states[0].header)
    try Restorer().restore(file, into: target)
    let log = try EventLog.open(folder: target, mode: .readOnly)
    #expect(try log.firstPosition() == LogPosition(26))
    #expect(try Replayer(log).replay().header == story.states.last?.header)
  }

  @Test func aVersionComesBackWithItsRoutes() throws {
    let story = try CommittedStory(seed: 4, count: 60, interval: 9)
    for version in [CatalogVersion(1), CatalogVersion(17), story.newest] {
      try? FileManager.default.removeItem(atPath: target)
      let outcome = try Exporter(story.log, checkpoints: nil).exportCatalog(
        at: version, to: file)
      #expect(outcome.manifest.kind == .catalog)
      try Restorer().restore(file, into: target)
      let log = try EventLog.open(folder: target, mode: .readOnly)
      let state = try Replayer(log).replay()
      #expect(state.version == version)
      #expect(
        state.routes.routes(overlapping: .all)
          == story.table(version).routes(overlapping: .all))
      // The log goes on from it.
      let position = state.appliedThrough
      try log.releaseAndAppend(Array(story.entries[Int(position.rawValue)...]), target)
    }
  }

  @Test func fingerprintsComeBackToo() async throws {
    let clock = TestClock()
    let source = folder.appending("source")
    let store = try CatalogStore.create(
      folder: source, catalog: testCatalog, wallMilliseconds: clock.read)
    _ = try await store.submit(command(1, oneRoute))
    _ = try await store.submit(command(2, split("m")))
    store.close()
    let log = try EventLog.open(folder: source, mode: .readOnly)
    try Exporter(log, checkpoints: nil).exportLog(to: file)
    try Restorer().restore(file, into: target)
    let restored = try EventLog.open(folder: target, mode: .readOnly)
    for position in [LogPosition(1), LogPosition(2)] {
      #expect(try restored.commandRow(at: position)?.fingerprint != nil)
      #expect(try restored.commandRow(at: position) == (try log.commandRow(at: position)))
    }
  }

  /// That a restore is refused and leaves nothing.
  private func expectRefusal(_ place: Comment) {
    #expect(throws: ExportError.self, place) { try Restorer().restore(file, into: target) }
    #expect(!FileManager.default.fileExists(atPath: target), place)
    #expect(!FileManager.default.fileExists(atPath: target + ".restoring"), place)
  }

  @Test(arguments: testSeeds(count: 2))
  func flippedAndTruncatedFilesAreRefused(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let story = try CommittedStory(seed: 2, count: 12, interval: 5)
    if seed % 2 == 0 {
      _ = try Exporter(story.log, checkpoints: nil).exportLog(to: file)
    } else {
      _ = try Exporter(story.log, checkpoints: nil).exportCatalog(at: story.newest, to: file)
    }
    let good = try bytes()
    for round in 0..<60 {
      var bad = good
      let offset = Int.random(in: 0..<bad.count, using: &generator)
      switch round % 4 {
      case 0: bad[offset] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      case 1: bad.removeSubrange(offset...)
      case 2: bad.insert(bad[offset] &+ 1, at: offset)
      default: bad += [0]
      }
      try write(bad)
      expectRefusal("seed \(seed), round \(round)")
    }
  }

  @Test func whatDoesNotFollowIsRefusedThoughItsSumsFit() throws {
    let story = try CommittedStory(seed: 2, count: 12, interval: 5)
    let state = try #require(story.states.last)
    func export(_ entries: [EncodedEntry], _ header: StateHeader, count: Int) throws {
      let manifest = ExportManifest(
        kind: .log, state: header, routeCount: UInt64(state.routes.count),
        entryCount: UInt64(count))
      var writer = try ExportFileWriter(file, manifest)
      var part: [UInt8] = []
      for entry in entries {
        part.append(0)
        withUnsafeBytes(of: UInt32(entry.bytes.count).littleEndian) { part.append(contentsOf: $0) }
        part += entry.bytes
      }
      try writer.add(ExportPart.entries, part)
      _ = try writer.finish()
    }
    try export(story.entries, state.header, count: 12)
    try Restorer().restore(file, into: target)
    try FileManager.default.removeItem(atPath: target)

    var altered = story.entries
    var entry = altered[11].entry
    entry.reason = "another"
    altered[11] = try EncodedEntry(entry)
    try export(altered, state.header, count: 12)
    expectRefusal("another entry at the end")
    entry = altered[5].entry
    entry.digest = .zero
    altered = story.entries
    altered[5] = try EncodedEntry(entry)
    try export(altered, state.header, count: 12)
    expectRefusal("another digest")
    try export(Array(story.entries.dropLast()), state.header, count: 11)
    expectRefusal("an entry less")
    try export(Array(story.entries.dropFirst()), state.header, count: 11)
    expectRefusal("not from the beginning")
    var header = state.header
    header.digest = .zero
    try export(story.entries, header, count: 12)
    expectRefusal("another state")
    try export(story.entries, state.header, count: 13)
    expectRefusal("another count")
  }

  @Test func nothingIsWrittenOver() throws {
    let story = try CommittedStory(seed: 2, count: 12, interval: 5)
    _ = try Exporter(story.log, checkpoints: nil).exportLog(to: file)
    try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
    try Restorer().restore(file, into: target + "/")
    #expect(throws: ExportError.folderExists(target)) {
      try Restorer().restore(file, into: target)
    }
    #expect(throws: ExportError.notAnExport(path: target)) {
      try Restorer().restore(target, into: folder.appending("other"))
    }
    var isCancelled = Restorer()
    isCancelled.isCancelled = { true }
    #expect(throws: ExportError.self) {
      try isCancelled.restore(file, into: folder.appending("other"))
    }
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
        == ["catalog.export", "restored"])
  }

  @Test func aNewerFormatIsNamed() throws {
    let story = try CommittedStory(seed: 2, count: 12, interval: 5)
    _ = try Exporter(story.log, checkpoints: nil).exportLog(to: file)
    let text = "{\"cadastre_export\":4,\"what\":\"else\"}"
    var bytes =
      ExportPart.magic + withUnsafeBytes(of: UInt32(text.utf8.count).littleEndian, Array.init)
    bytes += Array(text.utf8) + Array("\n".utf8)
    bytes += Array(text.utf8).withUnsafeBytes(EntryHash.init(of:)).bytes
    try write(bytes)
    #expect(throws: ExportError.newerFormat(path: file, found: 4)) {
      try Restorer().restore(file, into: target)
    }
  }
}

extension EventLog {
  /// Appends to the log in a folder that nobody writes, and proves what it then is.
  fileprivate func releaseAndAppend(_ entries: [EncodedEntry], _ folder: String) throws {
    let copy = folder + "-on"
    try? FileManager.default.removeItem(atPath: copy)
    try FileManager.default.copyItem(atPath: folder, toPath: copy)
    defer { try? FileManager.default.removeItem(atPath: copy) }
    let log = try EventLog.open(folder: copy, mode: .readWrite)
    try log.append(entries)
    _ = try Verifier(log).verify()
  }
}
