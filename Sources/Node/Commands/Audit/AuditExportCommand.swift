import ArgumentParser
import Catalog
import Replay
import StateMachines

struct AuditExportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract:
      "Write a whole log, or the catalog at a version, into one file that vouches for itself.",
    discussion: """
      Everything is proven on the way. Works beside a server that writes the folder.

      Examples:
        cadastre audit export --out catalog.export --log ./catalog
        cadastre audit export --at 2026-08-01 --out august.export --log ./catalog
      """)

  @Option(
    help: ArgumentHelp(
      "Export the routes of this version, by number or by a time, and no entries.",
      valueName: "version|time"),
    transform: parseAsOf)
  var at: AsOf?

  @Option(help: ArgumentHelp("The file to write.", valueName: "file"), transform: parsePath)
  var out: String

  @OptionGroup var folder: FolderOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let folder = try folder.folder()
    let outcome = try Self.export(at: at, to: out) { () throws(StoreError) in
      try EventLog.open(folder: folder, mode: .readOnly)
    }
    output.write(
      outcome.manifest.json.adding(["file": .string(out), "bytes": .number(outcome.byteCount)]),
      else: outcome.manifest.text(
        "exported", [("file", "\(out), \(grouped(outcome.byteCount)) bytes")]))
  }

  /// Exports a whole log, or the catalog as of a version, and shows how far it has come.
  static func export(
    at version: AsOf? = nil, to out: String, _ open: () throws(StoreError) -> EventLog
  ) throws -> Exporter.Outcome {
    let bar = ReplayBar("exporting")
    defer { bar.finish() }
    do {
      let log = try open()
      let checkpoints = try CheckpointStore.open(
        folder: log.folder, mode: .readOnly, catalog: log.catalog)
      var exporter = Exporter(log, checkpoints: checkpoints)
      exporter.onProgress = bar.update
      exporter.isCancelled = { Task.isCancelled }
      guard let version else { return try exporter.exportLog(to: out) }
      return try exporter.exportCatalog(at: try AuditReader(log).resolve(version).version, to: out)
    } catch let error as ExportError {
      throw Problem(error)
    } catch let error as AuditError {
      throw Problem(error)
    } catch let error as StoreError {
      throw Problem(error)
    }
  }
}

struct AuditRestoreCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "restore",
    abstract: "Make a folder of an export, which is proven first.",
    discussion: """
      The folder appears when all of it is proven, or not at all. It is a mirror: to lead with it, \
      promote it.

      Examples:
        cadastre audit restore catalog.export --into ./restored
        cadastre serve --log ./restored --promote
      """)

  @Argument(help: ArgumentHelp("The export.", valueName: "file"), transform: parsePath)
  var file: String

  @Option(
    help: ArgumentHelp("The folder to make.", valueName: "dir"), transform: parsePath)
  var into: String

  @OptionGroup var output: OutputOptions

  func run() async throws {
    let manifest = try Self.restore(file, into: into)
    output.write(
      manifest.json.adding(["folder": .string(into)]),
      else: manifest.text("restored", [("folder", into)]))
  }

  /// Makes a folder of an export, and shows how far it has come.
  static func restore(_ file: String, into folder: String) throws -> ExportManifest {
    let bar = ReplayBar("restoring")
    defer { bar.finish() }
    var restorer = Restorer()
    restorer.onProgress = { if $0.entryTotal > 0 { bar.update($0) } }
    restorer.isCancelled = { Task.isCancelled }
    do {
      return try restorer.restore(file, into: folder)
    } catch {
      throw Problem(error)
    }
  }
}

extension Problem {
  /// Says why nothing was exported or restored.
  init(_ error: ExportError) {
    switch error {
    case .store(let error): self.init(error)
    case .notAnExport:
      self.init(
        .failed, code: "not-an-export", "\(error)", help: "name a file that audit export wrote")
    case .newerFormat:
      self.init(
        .failed, code: "newer-format", "\(error)", help: "use the version that wrote it")
    case .damaged, .doesNotVerify:
      self.init(
        .damaged, code: "export-damaged", "\(error)",
        help: "nothing was restored: export again, or use another copy")
    case .folderExists:
      self.init(.refused, code: "folder-exists", "\(error)", help: "name a new folder")
    case .system:
      self.init(.failed, code: "failed", "\(error)")
    }
  }
}

extension ExportManifest {
  /// What an export holds, as `--json` writes it.
  var json: JSON {
    .object(
      [
        ("kind", .string(kind.rawValue)), ("catalog", .string(state.catalog.description)),
        ("position", JSON(state.position)), ("version", JSON(state.version)),
        ("head_hash", .string(state.hash.description)),
        ("digest", .string(state.digest.description)), ("routes", .number(routeCount)),
        ("entries", .number(entryCount)),
      ] + JSON.fields("head_time", state.time))
  }

  /// What an export holds, for people.
  func text(_ done: String, _ place: [(String, String)]) -> String {
    var facts = FactList()
    facts.add(
      done,
      kind == .log
        ? "\(grouped(entryCount)) entries up to \(state.position)"
        : "the catalog at version \(state.version)")
    for (name, text) in place { facts.add(name, text) }
    facts.add("catalog", state.catalog)
    facts.add("version", state.version)
    facts.add("routes", grouped(routeCount))
    facts.add("digest", state.digest)
    facts.add("head hash", "\(state.hash) at position \(state.position)")
    return facts.text(style: StandardStream.output.style)
  }
}
