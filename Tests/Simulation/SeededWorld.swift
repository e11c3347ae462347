import Catalog
import TestSupport

/// What every world of a simulation is made of: chance, time, what comes next, and a trace of what
/// happened. Everything in it follows from the seed.
class SeededWorld {
  private(set) final var now = Duration.zero
  final var generator: SeededGenerator
  private(set) final var violation: Violation?
  final var statistics = Statistics()
  private final var queue = EventQueue()
  private final var lastNumber: UInt64 = 0
  private final var trace = TraceDigest()

  /// `generator` may have been drawn from already.
  init(generator: SeededGenerator) { self.generator = generator }

  // MARK: Chance

  final func random(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }

  /// True so many times in a thousand.
  final func happens(_ times: Int) -> Bool { times > 0 && random(0...999) < times }

  final func nextNumber() -> UInt64 {
    lastNumber += 1
    return lastNumber
  }

  // MARK: Time

  final func after(_ delay: Duration, _ action: @escaping () -> Void) {
    queue.insert(at: now + max(.zero, delay), action)
  }

  /// Lets things happen until `end`, or until somebody broke a promise.
  final func run(until end: Duration) {
    while violation == nil, let time = queue.first?.time, time <= end,
      let event = queue.removeFirst()
    {
      now = event.time
      statistics.steps += 1
      event.action()
    }
    if violation == nil { now = end }
  }

  // MARK: What happened

  final func fail(_ violation: Violation) {
    if self.violation == nil { self.violation = violation }
  }

  final func note(_ who: UInt64, _ what: UInt64, _ digest: StateDigest) {
    trace.add(who)
    trace.add(what)
    for byte in digest.bytes.prefix(8) { trace.add(UInt64(byte)) }
    trace.add(UInt64(bitPattern: Int64(now / .microseconds(1))))
  }

  /// Of everything that happened.
  final var digest: UInt64 { trace.value }
}
