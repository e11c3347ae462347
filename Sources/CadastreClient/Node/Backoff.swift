/// Pauses between tries that grow, and differ from one node to the next, so that learners that lost
/// the same leader do not all come back at the same moment.
package struct Backoff: Sendable {
  private let first: Duration
  private let maximum: Duration
  private var current: Duration

  package init(first: Duration, maximum: Duration) {
    self.first = first
    self.maximum = maximum
    current = first
  }

  /// The next pause. The generator's draw takes up to half of it away.
  package mutating func next(using generator: inout some RandomNumberGenerator) -> Duration {
    let pause = current * Double.random(in: 0.5...1, using: &generator)
    current = min(current * 1.5, maximum)
    return pause
  }

  /// Starts over, after something worked.
  package mutating func reset() { current = first }
}
