/// How a ``CatalogClient`` tries again.
///
/// A call goes to one node after the other at once; when all that can be asked have failed it, it
/// pauses, ever longer. Pauses are drawn between half and the whole of their length, so that callers
/// that failed together do not come back together.
public struct RetryPolicy: Hashable, Sendable {
  /// How long a call may take in all, where the caller says nothing else.
  public var deadline: Duration = .seconds(5)
  /// How long one node may take over it, before another is asked.
  public var attemptTimeout: Duration = .seconds(1)
  /// The first pause; each is twice as long as the one before.
  public var firstPause: Duration = .milliseconds(20)
  /// The longest pause.
  public var maximumPause: Duration = .seconds(1)
  /// How many tries beyond the first may come in a burst. Without a limit callers would multiply the
  /// load on nodes that are failing under it.
  public var budget: Double = 50
  /// How much of a try is earned back by a call that succeeds.
  public var budgetPerSuccess: Double = 0.2
  /// So many failures in a row, and a node is not asked for a while.
  public var failuresToEject: Int = 3
  /// For how long, the first time; twice as long after each further failure. Then one call tries it.
  public var firstEjection: Duration = .milliseconds(200)
  /// For how long at most.
  public var maximumEjection: Duration = .seconds(5)

  /// The policy with the values above.
  public init() {}
}

/// How many further tries calls may make together: a bucket of tokens.
package struct RetryBudget: Sendable {
  private let capacity: Double
  private let perSuccess: Double
  package private(set) var tokens: Double

  package init(_ policy: RetryPolicy) {
    capacity = max(0, policy.budget)
    perSuccess = policy.budgetPerSuccess
    tokens = capacity
  }

  /// Notes a call that succeeded.
  package mutating func earn() { tokens = min(capacity, tokens + perSuccess) }

  /// Takes one further try; false when there is none left.
  package mutating func spend() -> Bool {
    guard tokens >= 1 else { return false }
    tokens -= 1
    return true
  }
}
