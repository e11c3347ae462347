import Catalog
import Glibc
import StateMachines

/// Makes a folder of an export. Nothing is taken on trust: the sums of the parts, the chain, every
/// digest, and the state at the end. The folder appears when all of it is proven and durable, or not
/// at all.
package struct Restorer {
  package var onProgress: ((ReplayProgress) -> Void)?
  package var isCancelled: (() -> Bool)?

  package init() {}

  /// Restores the export at `path` into `folder`, which must not be there, or be empty. The log is
  /// marked as a mirror: it is a copy of another, and leads only when it is told to.
  ///
  /// - Returns: What the export said of itself, which is proven.
  @discardableResult
  package func restore(_ path: String, into folder: String) throws(ExportError) -> ExportManifest {
    var folder = folder
    while folder.count > 1, folder.hasSuffix("/") { folder.removeLast() }
    guard Self.isFree(folder) else { throw .folderExists(folder) }
    let draft = folder + ".restoring"
    try Self.remove(draft)
    let manifest: ExportManifest
    do throws(ExportError) {
      manifest = try fill(draft, from: path)
    } catch {
      try? Self.remove(draft)
      throw error
    }
    guard rename(draft, folder) == 0 else {
      let error = ExportFileWriter.failure("creation", folder)
      try? Self.remove(draft)
      throw error
    }
    try orExportError { () throws(StoreError) in try Folder.sync(Folder.parent(of: folder)) }
    return manifest
  }

  /// Makes the log in `folder`; it is closed on return.
  private func fill(_ folder: String, from path: String) throws(ExportError) -> ExportManifest {
    var file = try ExportFileReader(path)
    let manifest = try file.manifest()
    let log = try orExportError { () throws(StoreError) in
      try EventLog.create(folder: folder, catalog: manifest.state.catalog)
    }
    var state = CatalogState(catalog: manifest.state.catalog)
    let base =
      manifest.kind == .catalog
      ? ExportManifest.Base(state: manifest.state, routeCount: manifest.routeCount) : manifest.base
    var routes: [Route] = []
    var members: [UInt8] = []
    var commands: [UInt8] = []
    var isBaseDone = base == nil
    var progress = ReplayProgress(
      entryCount: 0, entryTotal: manifest.entryCount, byteCount: 0, position: .zero)
    func finishBase() throws(ExportError) {
      guard !isBaseDone, let base else { return }
      isBaseDone = true
      state = try Self.state(base, routes, members)
      routes = []
      let (restored, known) = (state, try Self.commands(commands, manifest, before: base))
      commands = []
      try orExportError { () throws(StoreError) in
        try log.install(base: restored, commands: known)
      }
    }
    while let (kind, bytes) = try file.next() {
      switch kind {
      case ExportPart.routes where !isBaseDone:
        do throws(RouteChunk.Malformed) {
          try bytes.withUnsafeBufferPointer { (buffer) throws(RouteChunk.Malformed) in
            try RouteChunk.decode(UnsafeRawBufferPointer(buffer), into: &routes)
          }
        } catch {
          throw .doesNotVerify("\(error)")
        }
      case ExportPart.members where !isBaseDone && members.isEmpty:
        members = bytes
      case ExportPart.commands where !isBaseDone:
        commands += bytes
      case ExportPart.entries:
        try finishBase()
        let entries = try Self.entries(bytes)
        try append(entries, to: log, &state)
        progress.entryCount += UInt64(entries.count)
        progress.byteCount += bytes.count
        progress.position = state.appliedThrough
        onProgress?(progress)
      default:
        throw file.damaged("a part has no place here")
      }
      if isCancelled?() ?? false { throw .store(.cancelled(after: state.appliedThrough)) }
    }
    try finishBase()
    guard state.header == manifest.state, UInt64(state.routes.count) == manifest.routeCount,
      manifest.kind == .catalog || progress.entryCount == manifest.entryCount
    else { throw .doesNotVerify("it does not lead to the state that its manifest names") }
    try orExportError { () throws(StoreError) in try log.setMirror(true) }
    return manifest
  }

  private func append(
    _ entries: [ExportedEntry], to log: EventLog, _ state: inout CatalogState
  ) throws(ExportError) {
    do {
      try state.evolve(all: entries.map(\.encoded))
    } catch {
      throw .doesNotVerify("\(error)")
    }
    var fingerprints: [CommandID: ChangeFingerprint] = [:]
    for entry in entries where entry.fingerprint != nil {
      fingerprints[entry.encoded.entry.command] = entry.fingerprint
    }
    let known = fingerprints
    try orExportError { () throws(StoreError) in
      try log.append(entries.map(\.encoded), fingerprints: known)
    }
  }

  private static func state(
    _ base: ExportManifest.Base, _ routes: [Route], _ members: [UInt8]
  ) throws(ExportError) -> CatalogState {
    guard UInt64(routes.count) == base.routeCount else {
      throw .doesNotVerify("it has \(routes.count) routes, not \(base.routeCount)")
    }
    do {
      return try CatalogState(restoring: base.state, routes: routes, membership: members)
    } catch {
      throw .doesNotVerify("\(error)")
    }
  }

  private static func commands(
    _ bytes: [UInt8], _ manifest: ExportManifest, before base: ExportManifest.Base
  ) throws(ExportError) -> CommandWindow {
    do throws(LogCodingError) {
      let window = try CommandWindow(
        decoding: bytes, through: base.state.position, version: base.state.version)
      guard UInt64(window.records.count) == manifest.commandCount else {
        throw LogCodingError(.countTooLarge(manifest.commandCount), at: 0)
      }
      return window
    } catch {
      throw .doesNotVerify("the commands that it knows: \(error.problem)")
    }
  }

  private struct ExportedEntry {
    var encoded: EncodedEntry
    var fingerprint: ChangeFingerprint?
  }

  private static func entries(_ bytes: [UInt8]) throws(ExportError) -> [ExportedEntry] {
    var rest = bytes[...]
    func take(_ count: Int) throws(ExportError) -> ArraySlice<UInt8> {
      guard count <= rest.count else { throw .doesNotVerify("an entry ends too early") }
      defer { rest = rest.dropFirst(count) }
      return rest.prefix(count)
    }
    var result: [ExportedEntry] = []
    while let flag = rest.first {
      rest = rest.dropFirst()
      guard flag < 2 else { throw .doesNotVerify("an entry does not begin as one") }
      let fingerprint =
        flag == 1 ? ChangeFingerprint(bytes: try take(ChangeFingerprint.byteCount)) : nil
      let count = try take(4).reversed().reduce(0) { $0 << 8 | Int($1) }
      do {
        let encoded = try EncodedEntry(decoding: Array(try take(count)))
        result.append(ExportedEntry(encoded: encoded, fingerprint: fingerprint))
      } catch let error as LogCodingError {
        throw .doesNotVerify("\(error)")
      } catch {
        throw .doesNotVerify("\(error)")
      }
    }
    return result
  }

  /// Whether a folder can be made there.
  private static func isFree(_ folder: String) -> Bool {
    guard access(folder, F_OK) == 0 else { return true }
    guard let stream = opendir(folder) else { return false }
    defer { closedir(stream) }
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { return false }
    }
    return true
  }

  /// Removes what a restore left that was broken off: the files of a log, and nothing else.
  private static func remove(_ draft: String) throws(ExportError) {
    for name in ["data.mdb", "lock.mdb", "writer.lock"] { unlink(draft + "/" + name) }
    guard rmdir(draft) == 0 || errno == ENOENT else { throw .folderExists(draft) }
  }
}
