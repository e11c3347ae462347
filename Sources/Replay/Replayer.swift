import Catalog
import StateMachines

/// How far a replay has come.
package struct ReplayProgress: Hashable, Sendable {
  /// Entries replayed so far, and to be replayed in all.
  package var entryCount: UInt64
  package var entryTotal: UInt64
  /// The bytes of the entries replayed so far.
  package var byteCount: Int
  /// The last entry replayed.
  package var position: LogPosition
}

/// Folds the entries of a log into states, and proves each on the way: its place in the hash chain,
/// its time and version, that its events apply, and the digest of the state after it.
package struct Replayer {
  /// Told now and then how far the work has come, and at its end.
  package var onProgress: ((ReplayProgress) -> Void)?
  /// Asked now and then; true ends the work with ``StoreError/cancelled(after:)``.
  package var isCancelled: (() -> Bool)?
  /// Sees each entry with the state after it.
  package var onEntry: ((CatalogState, LogEntry) -> Void)?
  /// How many entries are read at once.
  var sliceCount = 1024
  /// No more entries are read at once when they have this many bytes.
  var sliceByteCount = 4 << 20

  private let log: EventLog

  package init(_ log: EventLog) { self.log = log }

  /// The state after the entry at `end`, or after the last one, from the log's beginning.
  ///
  /// - Throws: ``StoreError`` that names the entry that is not as it was written, or that does not
  ///   follow, and what to do about it.
  package func replay(through end: LogPosition? = nil) throws(StoreError) -> CatalogState {
    var state = try log.start()
    try replay(onto: &state, through: end)
    return state
  }

  /// Folds the entries after `state` into it, up to the one at `end` or the last. When it throws,
  /// `state` is the one after the last entry that was proven.
  package func replay(
    onto state: inout CatalogState, through end: LogPosition? = nil
  ) throws(StoreError) {
    let last = if let end { end } else { try log.tail().position }
    let start = state.appliedThrough
    guard last > start else { return }
    var progress = ReplayProgress(
      entryCount: 0, entryTotal: last.rawValue - start.rawValue, byteCount: 0, position: start)
    while state.appliedThrough < last {
      if isCancelled?() ?? false { throw .cancelled(after: state.appliedThrough) }
      let left = last.rawValue - state.appliedThrough.rawValue
      let slice = try log.entries(
        from: state.appliedThrough.next, maxCount: Int(min(left, UInt64(sliceCount))),
        maxBytes: sliceByteCount)
      guard !slice.isEmpty else { throw .gap(expected: state.appliedThrough.next, found: last) }
      for encoded in slice {
        do {
          try state.evolve(encoded)
        } catch {
          throw .unproven(encoded.entry.position, error)
        }
        progress.byteCount += encoded.bytes.count
        onEntry?(state, encoded.entry)
      }
      progress.entryCount += UInt64(slice.count)
      progress.position = state.appliedThrough
      onProgress?(progress)
    }
  }
}
