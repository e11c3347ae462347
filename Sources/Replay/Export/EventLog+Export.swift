import Catalog
import StateMachines

extension EventLog {
  /// The state at a version that the log or a checkpoint leads to: from the newest checkpoint before
  /// it that is whole, else from the log's beginning.
  func state(
    at version: CatalogVersion, checkpoints: CheckpointStore?,
    onProgress: ((ReplayProgress) -> Void)? = nil, isCancelled: (() -> Bool)? = nil
  ) throws(StoreError) -> CatalogState {
    var state = try nearestState(atOrBefore: version, checkpoints)
    guard state.version < version else { return state }
    guard let end = try position(of: version) else {
      throw .notRetained(state.appliedThrough.next, first: try firstPosition())
    }
    var replayer = Replayer(self)
    replayer.onProgress = onProgress
    replayer.isCancelled = isCancelled
    try replayer.replay(onto: &state, through: end)
    return state
  }

  private func nearestState(
    atOrBefore version: CatalogVersion, _ checkpoints: CheckpointStore?
  ) throws(StoreError) -> CatalogState {
    // A damaged checkpoint is no reason to give up: an older one, or the log, leads there too.
    for root in try checkpoints?.roots().reversed() ?? [] where root.version <= version {
      if let state = try? checkpoints?.load(root) { return state }
    }
    let start = try start()
    guard start.version <= version else {
      throw .notRetained(start.appliedThrough, first: try firstPosition())
    }
    return start
  }

  /// Entries with the fingerprints of their commands, as far as the log has those.
  func entriesWithFingerprints(
    from start: LogPosition, maxCount: Int, maxBytes: Int
  ) throws(StoreError) -> [(entry: EncodedEntry, fingerprint: ChangeFingerprint?)] {
    let entries = try entries(from: start, maxCount: maxCount, maxBytes: maxBytes)
    var fingerprints: [UInt64: ChangeFingerprint] = [:]
    try environment.read { transaction throws(StoreError) in
      for encoded in entries {
        let position = encoded.entry.position.rawValue
        let row = try transaction.value(of: position, in: tables.commands) { CommandRow($0) }
        if let row, let row, row.command == encoded.entry.command {
          fingerprints[position] = row.fingerprint
        }
      }
    }
    return entries.map { ($0, fingerprints[$0.entry.position.rawValue]) }
  }
}
