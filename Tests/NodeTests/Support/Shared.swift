import Synchronization

/// A value that tasks of a test share.
final class Shared<Value: Sendable>: Sendable {
  private let guarded: Mutex<Value>

  init(_ value: Value) { guarded = Mutex(value) }

  var value: Value { guarded.withLock { $0 } }

  func change<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
    guarded.withLock { value in
      // The lock's own closure hands over what it lends.
      var changed = value
      defer { value = changed }
      return body(&changed)
    }
  }
}
