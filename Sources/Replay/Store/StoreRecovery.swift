import Catalog
import StateMachines

/// What a store begins with: the state that its log makes, the recent versions, and what is wrong
/// with the log.
package struct StoreRecovery: Sendable {
  /// The state after the last entry that is proven.
  package private(set) var state: CatalogState
  package private(set) var history: CatalogHistory
  /// Why nothing may be written: what follows ``state`` in the log is not whole. Nil when all is.
  package private(set) var failure: StoreError?

  /// Replays `log` from `start` on, and lets its writer go on from there when it is whole.
  ///
  /// With `readsAhead` a second thread reads and decodes.
  package init(
    _ log: any CatalogLog, from start: CatalogState, historyCapacity: Int,
    readsAhead: Bool = true, onProgress: ((ReplayProgress) -> Void)? = nil
  ) {
    var state = start
    var history = CatalogHistory(from: state.routes, capacity: historyCapacity)
    var replayer = Replayer(log)
    if !readsAhead { replayer.pipeline.depth = 0 }
    replayer.onProgress = onProgress
    do {
      // Tables of long ago are not worth their memory.
      let end = try log.lastPosition()
      let recent = UInt64(historyCapacity)
      if end.rawValue > recent, end.rawValue - recent > state.appliedThrough.rawValue {
        try replayer.replay(onto: &state, through: LogPosition(end.rawValue - recent))
        history = CatalogHistory(from: state.routes, capacity: historyCapacity)
      }
      replayer.onEntry = { state, entry in
        guard state.version > history.newest else { return }
        history.append(state.routes, events: entry.events)
      }
      try replayer.replay(onto: &state)
      try log.checkHead(of: state)
      log.goOn(after: state)
    } catch {
      failure = log.quarantined(log.naming(error, state.membership.capabilities), from: log)
      // The versions on the way to the damage were not kept, or not all.
      if history.newest != state.version {
        history = CatalogHistory(from: state.routes, capacity: historyCapacity)
      }
    }
    self.state = state
    self.history = history
  }
}
