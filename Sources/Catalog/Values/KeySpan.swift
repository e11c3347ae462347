/// A half-open stretch of the keyspace: from ``lower`` up to but not including ``upper``, or to
/// the end of the keyspace where there is no upper bound. Never empty.
public struct KeySpan: Hashable, Sendable {
  /// The whole keyspace.
  public static let all = KeySpan(unchecked: .least, nil)

  /// The first key of the span.
  public let lower: Key
  /// The first key past the span; nil when the span reaches the end of the keyspace.
  public let upper: Key?

  /// - Throws: ``KeySpanError/empty(lower:upper:)`` when `upper` does not sort after `lower`.
  public init(_ lower: Key, _ upper: Key?) throws(KeySpanError) {
    if let upper, upper <= lower { throw .empty(lower: lower, upper: upper) }
    self.init(unchecked: lower, upper)
  }

  /// - Precondition: `upper` sorts after `lower`.
  package init(unchecked lower: Key, _ upper: Key?) {
    assert(upper.map { lower < $0 } ?? true)
    self.lower = lower
    self.upper = upper
  }

  /// Whether `key` lies in the span.
  public func contains(_ key: Key) -> Bool {
    lower <= key && (upper.map { key < $0 } ?? true)
  }

  /// Whether some key lies in both spans.
  public func overlaps(_ other: KeySpan) -> Bool {
    (other.upper.map { lower < $0 } ?? true) && (upper.map { other.lower < $0 } ?? true)
  }
}

extension KeySpan: CustomStringConvertible {
  /// `[lower, upper)`, with the keys in their text form and `∞` for the end of the keyspace.
  public var description: String {
    "[\"\(lower)\", " + (upper.map { "\"\($0)\"" } ?? "∞") + ")"
  }
}

/// Why two keys do not bound a ``KeySpan``.
public enum KeySpanError: Error, Equatable, Sendable, CustomStringConvertible {
  /// No key is at or after `lower` and before `upper`.
  case empty(lower: Key, upper: Key)

  /// What is wrong.
  public var description: String {
    switch self {
    case .empty(let lower, let upper):
      "the span from \"\(lower)\" to \"\(upper)\" is empty: its end must sort after its start"
    }
  }
}
