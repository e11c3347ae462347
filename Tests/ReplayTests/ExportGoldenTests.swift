import Catalog
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// Exports of the golden log, which are read for ever. `CADASTRE_REGENERATE=1` writes the files anew.
@Suite struct ExportGoldenTests {
  private static let catalog = catalogID("cadastre-golden1")
  private static let fixtures = fixturesFolder.appending(path: "exports")
  /// The entry that the log of the export `base` begins after.
  private static let baseCount = 6

  private let folder = TemporaryFolder()
  private let entries: [EncodedEntry]

  init() throws {
    let golden = fixturesFolder.appending(path: "golden/committed.hex")
    let text = try String(contentsOf: golden, encoding: .utf8)
    entries = try #require(HexFile.entries(in: text)).map { try EncodedEntry(decoding: $0) }
  }

  private func state(after count: Int) throws -> CatalogState {
    var state = CatalogState(catalog: Self.catalog)
    for entry in entries[..<count] { try state.evolve(entry) }
    return state
  }

  /// Exports `name` of the golden log to `path`.
  private func export(_ name: String, to path: String) throws -> ExportManifest {
    let log = try EventLog.create(folder: folder.appending("source"), catalog: Self.catalog)
    let first = name.hasPrefix("base") ? Self.baseCount : 0
    // Every other command was decided here, so that what it asked for is known.
    var fingerprints: [CommandID: ChangeFingerprint] = [:]
    for entry in entries where entry.entry.position.rawValue.isMultiple(of: 2) {
      let change = RouteChange.setState([RouteID(entry.entry.position.rawValue)], to: .active)
      fingerprints[entry.entry.command] = ChangeFingerprint(of: change)
    }
    if first > 0 {
      var known = CommandWindow()
      if name == "base-commands" {
        known = CommandWindow(
          entries[..<first].map {
            CommandRecord($0.entry, fingerprint: fingerprints[$0.entry.command])
          })
      }
      try log.install(base: try state(after: first), commands: known)
    }
    try log.append(Array(entries[first...]), fingerprints: fingerprints)
    var exporter = Exporter(log, checkpoints: nil)
    // The first golden files are from before commands went with a state.
    exporter.carriesCommands = name.hasSuffix("commands")
    return name.hasPrefix("catalog")
      ? try exporter.exportCatalog(at: CatalogVersion(7), to: path).manifest
      : try exporter.exportLog(to: path).manifest
  }

  private func text(of path: String) throws -> String {
    func line(_ name: String, _ state: StateHeader, _ routes: UInt64) -> String {
      """
      \(name) at \(state.position) version \(state.version) next \(state.nextRouteID) \
      time \(state.time.milliseconds).\(state.time.counter) routes \(routes)
        hash \(state.hash)
        digest \(state.digest)

      """
    }
    var file = try ExportFileReader(path)
    let manifest = try file.manifest()
    var text = "\(manifest.kind) of \(manifest.state.catalog) entries \(manifest.entryCount)\n"
    text += line("state", manifest.state, manifest.routeCount)
    if let base = manifest.base { text += line("base", base.state, base.routeCount) }
    var routes: [Route] = []
    var commands = ""
    while let (kind, bytes) = try file.next() {
      text += "part \(kind) bytes \(bytes.count)\n"
      if kind == ExportPart.commands {
        try bytes.withUnsafeBytes {
          try CommandRecord.decode($0) { record in commands += Self.line(of: record) }
        }
      }
      if kind == ExportPart.routes {
        try bytes.withUnsafeBytes { try RouteChunk.decode($0, into: &routes) }
      }
    }
    text += routes.map { "  \(EntryText.text(of: $0))\n" }.joined() + commands
    guard manifest.entryCount > 0 else { return text + "bytes \(file.byteCount)\n" }
    let restored = path + ".restored"
    try Restorer().restore(path, into: restored)
    let log = try EventLog.open(folder: restored, mode: .readOnly)
    let found = try log.entriesWithFingerprints(
      from: try log.firstPosition(), maxCount: .max, maxBytes: .max)
    for (entry, fingerprint) in found {
      let asked = fingerprint.map { hexadecimal($0.bytes[...]) } ?? "none"
      text += "  entry \(entry.entry.position) hash \(entry.hash) fingerprint \(asked)\n"
    }
    return text + "bytes \(file.byteCount)\n"
  }

  private static func line(of record: CommandRecord) -> String {
    let asked = record.fingerprint.map { "\($0)" } ?? "none"
    let routes = record.newRouteIDs.map { "\($0)" }.joined(separator: ",")
    return "  command \(record.position) \(record.command) fingerprint \(asked) "
      + "version \(record.version) routes \(routes.isEmpty ? "none" : routes)\n"
  }

  @Test(arguments: ["log", "base", "catalog", "base-commands", "catalog-commands"])
  func anExportHasItsGoldenBytes(name: String) throws {
    let path = folder.appending("\(name).export")
    try FileManager.default.createDirectory(
      atPath: folder.path, withIntermediateDirectories: true)
    let manifest = try export(name, to: path)
    let bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
    let hex = try golden(
      HexFile.text(of: [bytes]), at: Self.fixtures.appending(path: "\(name).hex"))
    let text = try golden(
      try self.text(of: path), at: Self.fixtures.appending(path: "\(name).txt"))
    #expect(try #require(HexFile.entries(in: hex)?.first) == bytes)

    // What the file says is restored, whatever is exported today.
    let old = folder.appending("\(name).golden")
    try Data(try #require(HexFile.entries(in: hex)?.first)).write(to: URL(filePath: old))
    #expect(try self.text(of: old) == text)
    let target = folder.appending("\(name).target")
    #expect(try Restorer().restore(old, into: target) == manifest)
    let restored = try EventLog.open(folder: target, mode: .readOnly)
    #expect(
      try Replayer(restored).replay().header
        == (name.hasPrefix("catalog") ? manifest.state : try state(after: entries.count).header))
  }

  /// Runs the reader in Python, which was written from `FORMAT.md` alone.
  private func read(_ path: String) throws -> (output: String, complaint: String, status: Int32) {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["python3", Self.fixtures.appending(path: "read_export.py").path, path]
    let (output, complaint) = (Pipe(), Pipe())
    (process.standardOutput, process.standardError) = (output, complaint)
    try process.run()
    let text = try output.fileHandleForReading.readToEnd() ?? Data()
    let complaints = try complaint.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return (
      String(decoding: text, as: UTF8.self), String(decoding: complaints, as: UTF8.self),
      process.terminationStatus
    )
  }

  @Test(arguments: ["log", "base", "catalog", "base-commands", "catalog-commands"])
  func theIndependentReaderAgrees(name: String) throws {
    let url = Self.fixtures.appending(path: name)
    let (output, complaint, status) = try read(url.path + ".hex")
    #expect(status == 0, "\(complaint)")
    #expect(output == (try String(contentsOfFile: url.path + ".txt", encoding: .utf8)))
  }

  @Test func theIndependentReaderRefusesWhatIsNotWhole() throws {
    let hex = try String(
      contentsOf: Self.fixtures.appending(path: "log.hex"), encoding: .utf8)
    let whole = try #require(HexFile.entries(in: hex)?.first)
    try FileManager.default.createDirectory(
      atPath: folder.path, withIntermediateDirectories: true)
    let path = folder.appending("altered.hex")
    for offset in [1, 40, whole.count / 2, whole.count - 1] {
      var bytes = whole
      bytes[offset] ^= 1
      try HexFile.text(of: [bytes]).write(toFile: path, atomically: true, encoding: .utf8)
      #expect(try read(path).status == 1, "byte \(offset)")
    }
    try HexFile.text(of: [Array(whole.dropLast(50))]).write(
      toFile: path, atomically: true, encoding: .utf8)
    #expect(try read(path).status == 1)
  }
}
