import Synchronization

/// Takes down what callers, each on a task of its own, call and are told.
///
/// A tick of the recorder is its place in one order: what ended before something else was called has
/// the lower one. Each operation is about one of several things, which are in order each by itself.
package final class HistoryRecorder<Model: SequentialModel>: Sendable {
  /// An operation, and the number of the thing that it is about.
  package typealias Recorded = (subject: Int, item: HistoryItem<Model>)

  private struct State: Sendable {
    var tick: UInt64 = 0
    var items: [Recorded] = []
  }

  private let state = Mutex(State())

  package init() {}

  /// Takes down that an operation is called; name it by what this gives when it ends. One that never
  /// ends stays unknown.
  package func begin(_ operation: Model.Operation, on subject: Int, client: Int) -> Int {
    state.withLock { state in
      state.tick += 1
      state.items.append(
        (
          subject,
          HistoryItem(
            client: client, operation: operation, result: nil, start: state.tick, end: .max)
        ))
      return state.items.count - 1
    }
  }

  /// Takes down what an operation gave.
  package func end(_ index: Int, _ result: Model.Result) {
    state.withLock { state in
      state.tick += 1
      state.items[index].item.result = result
      state.items[index].item.end = state.tick
    }
  }

  /// What was called so far, in the order of the calls.
  package var recorded: [Recorded] { state.withLock { $0.items } }

  /// What was called so far of one thing.
  package func history(of subject: Int) -> [HistoryItem<Model>] {
    recorded.filter { $0.subject == subject }.map(\.item)
  }
}
