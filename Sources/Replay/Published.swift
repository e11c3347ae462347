import Catalog
import StateMachines
import Synchronization

/// What readers see: the last durable state and the versions before it.
final class Published: Sendable {
  private let state: Mutex<CatalogState>
  private let history: Mutex<CatalogHistory>

  init(_ state: CatalogState, history: CatalogHistory) {
    self.state = Mutex(state)
    self.history = Mutex(history)
  }

  var current: CatalogState { state.withLock { $0 } }

  /// Runs `body` with the recent versions; O(1) work only, since the writer waits for it.
  func withHistory<Result: Sendable>(_ body: (borrowing CatalogHistory) -> Result) -> Result {
    history.withLock { body($0) }
  }

  /// Shows a state that the log has made durable. `versions` lead to it, one by one.
  func publish(_ next: CatalogState, versions: [CatalogHistory.Version]) {
    // History first: who has seen a version finds it there.
    history.withLock { history in
      for version in versions { history.append(version.table, events: version.events) }
    }
    state.withLock { $0 = next }
  }

  /// Shows a state that does not follow from the one before.
  func reset(to next: CatalogState, historyCapacity: Int) {
    history.withLock {
      $0 = CatalogHistory(from: next.routes, capacity: historyCapacity)
    }
    state.withLock { $0 = next }
  }
}
