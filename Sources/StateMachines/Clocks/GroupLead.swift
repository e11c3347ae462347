import Catalog
import Synchronization

/// A member's lead of some groups, in one term that began with one entry: they share a ceiling and a
/// lease, so that a renewal is one step, however many they are.
package final class GroupLead: Sendable {
  package let region: Region
  package let term: Term
  /// The least timestamp of the term.
  package let floor: HybridTimestamp
  let ceiling: HybridCeiling
  /// From when on timestamps are issued.
  package let startsAt: MonotonicTime
  private let lease: Milliseconds
  /// Clocks that are yet to be made start after it.
  private let observed: Atomic<UInt64>
  /// Until when they are, in nanoseconds of the monotonic clock.
  private let deadline: Atomic<UInt64>

  init(_ term: LeaderTerm, in region: Region, startsAt: MonotonicTime) {
    self.region = region
    self.term = term.term
    floor = term.floor
    ceiling = HybridCeiling(term.ceiling)
    lease = term.lease
    self.startsAt = startsAt
    deadline = Atomic(0)
    // So that the first timestamp is the floor.
    observed = Atomic(term.floor.rawValue == 0 ? 0 : term.floor.rawValue - 1)
  }

  /// What a clock that is made now starts after.
  var startsAfter: HybridTimestamp { HybridTimestamp(observed.load(ordering: .acquiring)) }

  /// Lets clocks that are made from now on start after a timestamp. Called by one thread at a time.
  func observe(_ timestamp: HybridTimestamp) {
    if timestamp > startsAfter { observed.store(timestamp.rawValue, ordering: .releasing) }
  }

  /// Until when timestamps are issued unless the lease is renewed.
  package var endsAt: MonotonicTime {
    MonotonicTime(nanoseconds: deadline.load(ordering: .acquiring))
  }

  /// A renewal that was begun then is durable.
  func extend(begun: MonotonicTime, drift: Duration) {
    let end = (begun + (lease.duration - drift)).nanoseconds
    var before = deadline.load(ordering: .relaxed)
    while before < end {
      let (exchanged, original) = deadline.weakCompareExchange(
        expected: before, desired: end, ordering: .acquiringAndReleasing)
      if exchanged { return }
      before = original
    }
  }
}

/// The clock of one group that this node leads.
package final class LeaderClock: Sendable {
  package let group: GroupID
  package let lead: GroupLead
  let clock: HybridClock

  init(_ group: GroupID, _ lead: GroupLead, maximumSkew: Duration) {
    self.group = group
    self.lead = lead
    clock = HybridClock(after: lead.startsAfter, below: lead.ceiling, maximumSkew: maximumSkew)
  }

  /// The next `count` timestamps. O(1). The times are those at which the caller was asked, or later:
  /// who is held up between that and this issues as of then.
  ///
  /// - Throws: ``GroupClockError``; nothing was issued then.
  /// - Precondition: `count` is 1 to ``HybridClock/maximumBatchCount``.
  @inline(__always)
  package func next(
    _ count: Int, wallMilliseconds: UInt64, at time: MonotonicTime
  ) throws(GroupClockError) -> HybridTimestampBatch {
    guard time >= lead.startsAt else { throw .waiting(group, until: lead.startsAt, now: time) }
    guard time < lead.endsAt else { throw .leaseExpired(group) }
    do throws(HybridClockError) {
      return try clock.next(count, wallMilliseconds: wallMilliseconds)
    } catch .retired {
      throw .notLed(group)
    } catch {
      throw .clock(group, error)
    }
  }
}

/// Why a group's clock issued nothing.
package enum GroupClockError: Error, Hashable, Sendable {
  /// This node does not lead the group.
  case notLed(GroupID)
  /// The leader before may still be issuing.
  case waiting(GroupID, until: MonotonicTime, now: MonotonicTime)
  /// No renewal became durable in time: another node may lead the group by now.
  case leaseExpired(GroupID)
  case clock(GroupID, HybridClockError)
}

extension GroupClockError: CustomStringConvertible {
  /// What is wrong, and what to do about it.
  package var description: String {
    switch self {
    case .notLed(let group): "this node does not lead group \(group): ask its leader"
    case .waiting(let group, let until, let now):
      "the leader of group \(group) waits for the one before it to stop: ask again in "
        + "\((until - now).completedMilliseconds + 1) ms"
    case .leaseExpired(let group):
      "no renewal of group \(group) became durable in time: ask again when its region's stream takes "
        + "entries, or ask who leads it then"
    case .clock(let group, let error): "group \(group): \(error): \(error.remedy)"
    }
  }
}
