import Catalog
import StateMachines

/// Writes a catalog at a version, or a whole log, into one file that vouches for itself. Everything
/// is proven on the way; the log may be written meanwhile.
package struct Exporter {
  package var onProgress: ((ReplayProgress) -> Void)?
  package var isCancelled: (() -> Bool)?
  /// Whether the commands that are known up to a state go with it. Without them the export is of a
  /// form that earlier releases read.
  package var carriesCommands = true

  private let log: EventLog
  private let checkpoints: CheckpointStore?

  package init(_ log: EventLog, checkpoints: CheckpointStore?) {
    self.log = log
    self.checkpoints = checkpoints
  }

  /// What was written.
  package struct Outcome: Hashable, Sendable {
    package var manifest: ExportManifest
    package var byteCount: UInt64
  }

  /// Exports the state at `version`. O(*n*) in the number of routes, and the entries from the
  /// checkpoint before.
  @discardableResult
  package func exportCatalog(
    at version: CatalogVersion, to path: String
  ) throws(ExportError) -> Outcome {
    let state = try orExportError { () throws(StoreError) in
      try log.state(
        at: version, checkpoints: checkpoints, onProgress: onProgress, isCancelled: isCancelled)
    }
    let commands = try commands(through: state.appliedThrough)
    let manifest = ExportManifest(
      kind: .catalog, state: state.header, routeCount: UInt64(state.routes.count), entryCount: 0,
      commandCount: UInt64(commands.count))
    var file = try ExportFileWriter(path, manifest)
    try add(state, commands, to: &file)
    return Outcome(manifest: manifest, byteCount: try file.finish())
  }

  /// Exports all entries that the log has now, and the state that they begin after. O(*n*).
  @discardableResult
  package func exportLog(to path: String) throws(ExportError) -> Outcome {
    let (start, end, base) = try orExportError { () throws(StoreError) in
      (try log.start(), try log.lastPosition(), try log.base() != nil)
    }
    // What the log ends with stands in the manifest, which comes first.
    let last = try orExportError { () throws(StoreError) in
      var state = start
      var replayer = Replayer(log)
      replayer.isCancelled = isCancelled
      try replayer.replay(onto: &state, through: end)
      return state
    }
    let commands = base ? try commands(through: start.appliedThrough) : []
    let manifest = ExportManifest(
      kind: .log, state: last.header, routeCount: UInt64(last.routes.count),
      entryCount: end.rawValue - start.appliedThrough.rawValue,
      commandCount: UInt64(commands.count),
      base: base
        ? ExportManifest.Base(state: start.header, routeCount: UInt64(start.routes.count)) : nil)
    var file = try ExportFileWriter(path, manifest)
    if base { try add(start, commands, to: &file) }
    try addEntries(after: start.appliedThrough, through: last.header, to: &file)
    return Outcome(manifest: manifest, byteCount: try file.finish())
  }

  private func commands(through last: LogPosition) throws(ExportError) -> [CommandRecord] {
    guard carriesCommands else { return [] }
    return try orExportError { () throws(StoreError) in
      try log.commandWindow(through: last).records
    }
  }

  private func add(
    _ state: CatalogState, _ commands: [CommandRecord], to file: inout ExportFileWriter
  ) throws(ExportError) {
    var part: [UInt8] = []
    try RouteChunk.encode(state.routes) { (chunk) throws(ExportError) in
      part += chunk
      guard part.count >= ExportPart.targetByteCount else { return }
      try file.add(ExportPart.routes, part)
      part = []
    }
    if !part.isEmpty { try file.add(ExportPart.routes, part) }
    if !state.membership.isEmpty { try file.add(ExportPart.members, state.membership.bytes) }
    for start in stride(from: 0, to: commands.count, by: ExportPart.commandCount) {
      let slice = commands[start...].prefix(ExportPart.commandCount)
      try file.add(ExportPart.commands, CommandWindow(slice).bytes)
    }
  }

  private func addEntries(
    after start: LogPosition, through end: StateHeader, to file: inout ExportFileWriter
  ) throws(ExportError) {
    var progress = ReplayProgress(
      entryCount: 0, entryTotal: end.position.rawValue - start.rawValue, byteCount: 0,
      position: start)
    var (position, hash) = (start, EntryHash?.none)
    while position < end.position {
      let rest = end.position.rawValue - position.rawValue
      let slice = try orExportError { () throws(StoreError) in
        try log.entriesWithFingerprints(
          from: position.next, maxCount: Int(min(rest, 4096)),
          maxBytes: ExportPart.targetByteCount)
      }
      guard let last = slice.last?.entry else {
        throw .store(.gap(expected: position.next, found: end.position))
      }
      var part: [UInt8] = []
      for (entry, fingerprint) in slice {
        // They were proven a moment ago; these are the same.
        guard hash == nil || entry.entry.previous == hash else {
          throw .store(.damaged(entry.entry.position, .brokenChain))
        }
        hash = entry.hash
        part.append(fingerprint == nil ? 0 : 1)
        part += fingerprint?.bytes ?? []
        withUnsafeBytes(of: UInt32(entry.bytes.count).littleEndian) {
          part.append(contentsOf: $0)
        }
        part += entry.bytes
        progress.byteCount += entry.bytes.count
      }
      try file.add(ExportPart.entries, part)
      position = last.entry.position
      progress.entryCount += UInt64(slice.count)
      progress.position = position
      onProgress?(progress)
      if isCancelled?() ?? false { throw .store(.cancelled(after: position)) }
    }
    guard hash == nil || hash == end.hash else {
      throw .store(.damaged(end.position, .brokenChain))
    }
  }
}
