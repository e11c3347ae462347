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
      try target.install(base: base)
      state = base
    }
    try checkSharedHistory(state)
    var bulk = self
    bulk.pipeline.sliceCount = rebuildSliceCount
    bulk.pipeline.sliceByteCount = 8 << 20
    bulk.pipeline.depth = 2
    try bulk.fold(onto: &state, through: end, decode: EventLog.decode) {
      (slice: [EncodedEntry]) throws(StoreError) in
      try target.append(slice)
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
