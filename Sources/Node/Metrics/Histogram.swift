import Catalog
import Synchronization

/// How often a value fell into which of a few fixed ranges, as Prometheus' histograms are: two atomic
/// additions for each value, from any thread.
///
/// Values are whole numbers of the smallest unit that matters, nanoseconds for times; ``scale`` says
/// how many of them make the unit that is exported.
package final class Histogram: Sendable {
  /// The greatest values of the ranges, ascending; the last range has no end.
  package let bounds: [UInt64]
  package let scale: Double
  private let counts: InlineArray<20, Atomic<UInt64>>
  private let sum = Atomic<UInt64>(0)

  /// - Precondition: 1 to 19 bounds, in ascending order.
  package init(bounds: [UInt64], scale: Double = 1) {
    precondition((1...19).contains(bounds.count), "a histogram has 1 to 19 bounds")
    precondition(zip(bounds, bounds.dropFirst()).allSatisfy(<), "bounds ascend")
    self.bounds = bounds
    self.scale = scale
    counts = InlineArray { _ in Atomic<UInt64>(0) }
  }

  /// A histogram of times, exported in seconds.
  package convenience init(upTo bounds: [Duration]) {
    self.init(bounds: bounds.map(\.wholeNanoseconds), scale: 1e9)
  }

  package func observe(_ value: UInt64) {
    var index = 0
    while index < bounds.count, value > bounds[index] { index += 1 }
    counts[index].add(1, ordering: .relaxed)
    sum.add(value, ordering: .relaxed)
  }

  package func observe(_ duration: Duration) { observe(duration.wholeNanoseconds) }

  /// What was observed so far.
  package struct Reading: Sendable {
    /// For each bound, and for none at the end, how many values were at most that.
    package var cumulative: [UInt64]
    /// In the unit that is exported.
    package var sum: Double
    package var count: UInt64 { cumulative.last ?? 0 }
  }

  /// What was observed so far. Values that come meanwhile are in it or not, each as a whole, but for
  /// the sum, which may be ahead of the counts.
  package var reading: Reading {
    var cumulative: [UInt64] = []
    var total: UInt64 = 0
    for index in 0...bounds.count {
      total += counts[index].load(ordering: .relaxed)
      cumulative.append(total)
    }
    return Reading(
      cumulative: cumulative, sum: Double(sum.load(ordering: .relaxed)) / scale)
  }
}
