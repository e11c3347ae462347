import Synchronization

/// Issues timestamps that only rise and that stay below a durable ceiling.
///
/// Whoever owns the clock makes the ceiling durable first and raises it here afterwards. So whatever
/// was ever issued is below what is on record, and the next owner, who starts at the recorded
/// ceiling, issues nothing a second time, however the first one ended. The clock fails closed: out
/// of room below its ceiling it issues nothing.
///
/// It reads no clock itself: callers hand in the wall clock's milliseconds. One that goes back or
/// stops changes nothing but the counter; one that jumps ahead takes the clock to its ceiling at
/// most. All of it may be used from any thread; nothing locks, and a batch is one atomic step.
///
/// Source: Kulkarni et al., "Logical Physical Clocks", 2014; the ceiling as in TiKV PD's timestamp
/// oracle.
package final class HybridClock: Sendable {
  /// The most timestamps of one batch: as many as a millisecond has.
  package static let maximumBatchCount = 1 << 16
  /// How far ahead of the wall clock an observed timestamp may be, unless the owner says otherwise.
  package static let defaultMaximumSkew: Duration = .milliseconds(500)

  /// The last timestamp that was issued or observed; all ones once the clock is retired.
  private let latest: Atomic<UInt64>
  /// The first timestamp that may not be issued, perhaps shared with other clocks.
  private let limit: HybridCeiling
  /// See ``defaultMaximumSkew``, in milliseconds.
  private let maximumSkewMilliseconds: UInt64

  /// A clock whose first timestamp is after `latest`, and that issues nothing at or above `ceiling`:
  /// with the default nothing at all until it is raised.
  package convenience init(
    after latest: HybridTimestamp = .zero, ceiling: HybridTimestamp = .zero,
    maximumSkew: Duration = defaultMaximumSkew
  ) {
    self.init(after: latest, below: HybridCeiling(ceiling), maximumSkew: maximumSkew)
  }

  /// A clock that shares its ceiling with others: one step raises that of all.
  package init(
    after latest: HybridTimestamp, below ceiling: HybridCeiling,
    maximumSkew: Duration = defaultMaximumSkew
  ) {
    self.latest = Atomic(latest.rawValue)
    limit = ceiling
    maximumSkewMilliseconds = maximumSkew.completedMilliseconds
  }

  /// How far ahead of the wall clock an observed timestamp may be.
  package var maximumSkew: Duration { .milliseconds(Int64(clamping: maximumSkewMilliseconds)) }

  /// The last timestamp that was issued or observed.
  package var last: HybridTimestamp { HybridTimestamp(latest.load(ordering: .acquiring)) }

  /// The first timestamp that may not be issued.
  package var ceiling: HybridTimestamp { limit.value }

  /// Whether ``retire()`` was called.
  package var isRetired: Bool { latest.load(ordering: .acquiring) == .max }

  /// The next timestamp. O(1), takes a few nanoseconds.
  ///
  /// - Throws: ``HybridClockError``; nothing was issued.
  @inline(__always)
  package func next(wallMilliseconds: UInt64) throws(HybridClockError) -> HybridTimestamp {
    try issue(1, wallMilliseconds: wallMilliseconds)
  }

  /// The next `count` timestamps, one behind the other: where the counter is full they go on in the
  /// next millisecond. One atomic step.
  ///
  /// - Throws: ``HybridClockError``; nothing was issued then, not even a part.
  /// - Precondition: `count` is 1 to ``maximumBatchCount``.
  package func next(
    _ count: Int, wallMilliseconds: UInt64
  ) throws(HybridClockError) -> HybridTimestampBatch {
    precondition((1...Self.maximumBatchCount).contains(count), "a batch of 1 to 65,536")
    let first = try issue(UInt64(count), wallMilliseconds: wallMilliseconds)
    return HybridTimestampBatch(first: first, count: count)
  }

  @inline(__always)
  private func issue(
    _ count: UInt64, wallMilliseconds: UInt64
  ) throws(HybridClockError) -> HybridTimestamp {
    let wall = min(wallMilliseconds, HybridTimestamp.maximumMilliseconds) << 16
    var before = latest.load(ordering: .relaxed)
    while true {
      guard before < .max else { throw .retired }
      let first = max(before + 1, wall)
      // Acquiring: who raised the ceiling had made it durable.
      let limit = limit.value.rawValue
      // The second comparison would overflow where the first one fails.
      guard first < limit, count <= limit - first else {
        throw .ceilingExpired(ceiling: HybridTimestamp(limit), needed: HybridTimestamp(first))
      }
      let (exchanged, original) = latest.weakCompareExchange(
        expected: before, desired: first + (count - 1), ordering: .acquiringAndReleasing)
      if exchanged { return HybridTimestamp(first) }
      before = original
    }
  }

  /// Takes note of a timestamp from elsewhere: all that are issued from now on are after it.
  ///
  /// - Throws: ``HybridClockError/tooFarAhead(_:wallMilliseconds:maximumSkewMilliseconds:)`` when it
  ///   is further ahead of the wall clock than the clock accepts; nothing changes then, since one
  ///   broken clock must not take all others with it.
  package func observe(
    _ timestamp: HybridTimestamp, wallMilliseconds: UInt64
  ) throws(HybridClockError) {
    let (latestAccepted, overflow) = wallMilliseconds.addingReportingOverflow(
      maximumSkewMilliseconds)
    guard overflow || timestamp.milliseconds <= latestAccepted || timestamp <= last else {
      throw .tooFarAhead(
        timestamp, wallMilliseconds: wallMilliseconds,
        maximumSkewMilliseconds: maximumSkewMilliseconds)
    }
    Self.raise(latest, to: timestamp.rawValue)
  }

  /// Takes over a timestamp that the record proves, such as the highest that was applied or a
  /// predecessor's ceiling: the wall clock has no say.
  package func observe(recorded timestamp: HybridTimestamp) {
    Self.raise(latest, to: timestamp.rawValue)
  }

  /// Lets the clock issue timestamps below `ceiling`, which is durable. A ceiling only ever rises; a
  /// lower one than it has is a no-op, since ceilings may arrive in any order.
  ///
  /// - Returns: Whether it rose.
  @discardableResult
  package func raiseCeiling(to ceiling: HybridTimestamp) -> Bool {
    limit.raise(to: ceiling)
  }

  /// Whether it rose. Not `Atomic.max`, which compares unsigned numbers as signed ones in Swift 6.3:
  /// a retired clock would come back to life.
  @discardableResult
  fileprivate static func raise(_ number: borrowing Atomic<UInt64>, to value: UInt64) -> Bool {
    var before = number.load(ordering: .relaxed)
    while before < value {
      let (exchanged, original) = number.weakCompareExchange(
        expected: before, desired: value, ordering: .acquiringAndReleasing)
      if exchanged { return true }
      before = original
    }
    return false
  }

  /// Ends the clock: it issues nothing from now on, whatever its ceiling. For an owner who was
  /// deposed. A batch that is being issued meanwhile was issued before, or is not.
  ///
  /// - Returns: The last timestamp that was issued or observed; nil when it was retired already.
  @discardableResult
  package func retire() -> HybridTimestamp? {
    let last = latest.exchange(.max, ordering: .sequentiallyConsistent)
    return last == .max ? nil : HybridTimestamp(last)
  }
}

/// The first timestamp that clocks may not issue, which is durable. It only ever rises.
package final class HybridCeiling: Sendable {
  private let limit: Atomic<UInt64>

  package init(_ ceiling: HybridTimestamp) { limit = Atomic(ceiling.rawValue) }

  @inline(__always)
  package var value: HybridTimestamp { HybridTimestamp(limit.load(ordering: .acquiring)) }

  /// Whether it rose.
  @discardableResult
  package func raise(to ceiling: HybridTimestamp) -> Bool {
    HybridClock.raise(limit, to: ceiling.rawValue)
  }
}

/// Timestamps one behind the other.
package struct HybridTimestampBatch: Hashable, Sendable {
  package var first: HybridTimestamp
  package var count: Int

  package init(first: HybridTimestamp, count: Int) {
    self.first = first
    self.count = count
  }

  package var last: HybridTimestamp { HybridTimestamp(first.rawValue + UInt64(count) - 1) }
}

/// Why a clock issued nothing, or did not take over what it was shown.
package enum HybridClockError: Error, Hashable, Sendable {
  /// There is no room below the durable ceiling.
  case ceilingExpired(ceiling: HybridTimestamp, needed: HybridTimestamp)
  /// The owner was deposed.
  case retired
  case tooFarAhead(
    HybridTimestamp, wallMilliseconds: UInt64, maximumSkewMilliseconds: UInt64)

  /// What to do about it.
  package var remedy: String {
    switch self {
    case .ceilingExpired:
      "raise the ceiling: append a renewal to the region's stream and, once it is durable, raise "
        + "the clock's"
    case .retired: "ask the group's present leader"
    case .tooFarAhead:
      "compare the clocks of the two machines (NTP), or accept a larger skew"
    }
  }
}

extension HybridClockError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .ceilingExpired(let ceiling, let needed):
      "the clock may issue nothing at or above \(ceiling), and \(needed) is next"
    case .retired: "the clock's owner was deposed"
    case .tooFarAhead(let timestamp, let wall, let skew):
      "\(timestamp) is more than \(skew) ms ahead of the wall clock, which says \(wall)"
    }
  }
}
