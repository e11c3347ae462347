import Catalog
import StateMachines

extension Replayer {
  /// Makes or completes the log of a mirror from this one: proves each entry and appends it to
  /// `target`, with a sync of the disk for each slice. What `target` holds already is proven to be
  /// the same history, and kept; a work that was broken off goes on where it stopped. A base goes
  /// into an empty target only.
  ///
  /// - Returns: The state after the last entry, which both logs now end with.
  /// - Throws: ``StoreError``; what was appended before is proven and stays.
  @discardableResult
  package func rebuild(_ target: EventLog) throws(StoreError) -> CatalogState {
    guard target.catalog == log.catalog else {
      throw .otherCatalog(expected: target.catalog, found: log.catalog)
    }
    let end = try log.lastPosition()
    var state = try Replayer(target).replay()
    let first = try log.firstPosition()
    if state.appliedThrough.next < first {
      guard let base = try log.base() else {
        throw .notRetained(state.appliedThrough.next, first: first)
      }
      // What the target holds is somebody's record, and the base would stand in its place.
      guard state.appliedThrough == .zero else {
        throw .wouldErase(folder: target.folder, through: state.appliedThrough, first: first)
      }
      try target.install(
        base: base, commands: try log.commandWindow(through: base.appliedThrough))
      state = base
    }
    try checkSharedHistory(state)
    try target.setMirror(true)
    var bulk = self
    bulk.pipeline.sliceCount = rebuildSliceCount
    bulk.pipeline.sliceByteCount = 8 << 20
    bulk.pipeline.depth = 2
    do throws(StoreError) {
      try bulk.fold(onto: &state, through: end, decode: EventLog.decode) {
        (slice: [EncodedEntry]) throws(StoreError) in
        try target.append(slice, fingerprints: log.fingerprints(of: slice))
      }
    } catch {
      throw target.quarantined(error, from: log)
    }
    return state
  }

  /// That the entry which `state` ends with is in this log too.
  private func checkSharedHistory(_ state: CatalogState) throws(StoreError) {
    let position = state.appliedThrough
    guard position > .zero, try position >= log.firstPosition() else { return }
    guard let entry = try log.entry(at: position) else {
      throw .gap(expected: position, found: try log.lastPosition())
    }
    guard entry.hash == state.lastHash else {
      throw .unproven(
        position, .forked(position, applied: state.lastHash, found: entry.hash))
    }
  }
}

extension EventLog {
  /// What the log remembers of what was asked for, so that a mirror which becomes a leader knows
  /// commands that are sent again. O(*m* + log *n*).
  package func fingerprints(
    of entries: [EncodedEntry]
  ) throws(StoreError) -> [CommandID: ChangeFingerprint] {
    guard let first = entries.first?.entry.position, let last = entries.last?.entry.position
    else { return [:] }
    var result: [CommandID: ChangeFingerprint] = [:]
    try environment.read { transaction throws(StoreError) in
      try transaction.scan(tables.commands, from: first.rawValue) {
        (key, value) throws(StoreError) in
        guard try EventLog.position(key, expected: first) <= last else { return false }
        if let row = CommandRow(value) { result[row.command] = row.fingerprint }
        return true
      }
    }
    return result
  }
}
