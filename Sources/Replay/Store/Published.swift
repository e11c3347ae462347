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

  /// What was shown before, to be dropped where nobody waits for it: that may free much.
  struct Outdated: Sendable {
    fileprivate(set) var state: CatalogState
    fileprivate(set) var versions: [CatalogHistory.Version] = []
    fileprivate(set) var history: CatalogHistory?
  }

  /// Shows a state that the log has made durable. `versions` lead to it, one by one.
  func publish(_ next: CatalogState, versions: [CatalogHistory.Version]) -> Outdated {
    // History first: who has seen a version finds it there.
    let forgotten = history.withLock { history in
      versions.compactMap { history.append($0.table, events: $0.events) }
    }
    return Outdated(state: state.exchange(next), versions: forgotten)
  }

  /// Shows a state that does not follow from the one before.
  func reset(to next: CatalogState, historyCapacity: Int) -> Outdated {
    let nextHistory = CatalogHistory(from: next.routes, capacity: historyCapacity)
    let oldHistory = history.exchange(nextHistory)
    return Outdated(state: state.exchange(next), history: oldHistory)
  }
}

extension Mutex where Value: Sendable {
  /// Sets the value, and gives back the one before: nothing is freed under the lock.
  fileprivate borrowing func exchange(_ next: Value) -> Value {
    withLock { value in
      let old = value
      value = next
      return old
    }
  }
}
