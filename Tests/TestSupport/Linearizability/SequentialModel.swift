/// What a thing that is used by one caller at a time does: the truth that concurrent callers of it are
/// held against.
package protocol SequentialModel: Sendable {
  associatedtype State: Hashable & Sendable
  associatedtype Operation: Sendable
  associatedtype Result: Sendable

  /// The state before the first operation.
  var initial: State { get }

  /// The state after `operation` gave `result` in `state`; nil where it could not have given that.
  ///
  /// Without a result nobody knows what it gave: the state after it took effect, and `state` itself
  /// where it would have changed nothing.
  func step(_ state: State, _ operation: Operation, _ result: Result?) -> State?
}

/// An operation as its caller saw it.
package struct HistoryItem<Model: SequentialModel>: Sendable {
  /// Who called, for people.
  package var client: Int
  package var operation: Model.Operation
  /// nil when the caller never learned it: it may have taken effect at any time since, or may yet.
  package var result: Model.Result?
  /// When it was called and when it returned, in ticks of one order. `end` of an operation without a
  /// result does not matter.
  package var start: UInt64
  package var end: UInt64

  package init(
    client: Int, operation: Model.Operation, result: Model.Result?, start: UInt64, end: UInt64
  ) {
    self.client = client
    self.operation = operation
    self.result = result
    self.start = start
    self.end = end
  }
}

extension HistoryItem: CustomStringConvertible {
  package var description: String {
    let outcome = result.map { "\($0)" } ?? "unknown"
    return
      "[\(start), \(result == nil ? "…" : "\(end)")] client \(client): \(operation) → \(outcome)"
  }
}
