/// Counts the leaders of a group: each has a higher term than the one before, and what it does names
/// its term, so that one who was deposed is told apart.
package struct Term: Ordinal {
  package static let zero = Term(0)

  package let rawValue: UInt64
  package init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// What is on record of a group's clock.
///
/// Whatever happens, the ceiling and the term never go down.
package struct GroupClock: Hashable, Sendable {
  /// No timestamp at or above it was issued.
  package var ceiling: HybridTimestamp
  package var term: Term
  package var standing: Standing

  package enum Standing: Hashable, Sendable {
    /// A member issues timestamps, at or after `floor` and below the ceiling.
    ///
    /// It does so only while, by its own monotonic clock, less than the lease has passed since it
    /// began its last renewal that became durable, and not before `wait` has passed since its term
    /// began: by then the leader before it has stopped.
    case led(by: MemberName, floor: HybridTimestamp, lease: Milliseconds, wait: Milliseconds)
    /// Nobody leads it. No timestamp at or above `floor` was issued. `lease` is that of a leader
    /// that may still be issuing; none when the last one is known to have stopped.
    case vacant(floor: HybridTimestamp, lease: Milliseconds)
    /// Its home is another region now. What the clock was then is kept, so that nothing that comes
    /// back can be lower.
    case departed(to: Region)
  }

  package init(ceiling: HybridTimestamp, term: Term, standing: Standing) {
    self.ceiling = ceiling
    self.term = term
    self.standing = standing
  }

  /// The least timestamp that the next leader may issue.
  package var nextFloor: HybridTimestamp {
    switch standing {
    case .led, .departed: ceiling
    case .vacant(let floor, _): floor
    }
  }

  /// How long the next leader must wait for the one before it to stop.
  package var nextWait: Milliseconds {
    switch standing {
    case .led(_, _, let lease, let wait):
      // Who waits itself has not issued anything, and waits for somebody who may have.
      max(lease, wait)
    case .vacant(_, let lease): lease
    case .departed: .zero
    }
  }
}

/// A number of milliseconds on record.
package struct Milliseconds: Ordinal {
  package static let zero = Milliseconds(0)
  /// A day: no lease is longer.
  package static let maximum = Milliseconds(86_400_000)

  package let rawValue: UInt64
  package init(_ rawValue: UInt64) { self.rawValue = rawValue }

  /// Rounded up, so that what must pass has passed; at most ``maximum``.
  package init(atLeast duration: Duration) {
    let nanoseconds = min(duration.wholeNanoseconds, Milliseconds.maximum.rawValue * 1_000_000)
    self.init((nanoseconds + 999_999) / 1_000_000)
  }

  package var duration: Duration { .milliseconds(Int64(clamping: rawValue)) }
}

/// What a group's clock was when the group left a region for another.
package struct ClockHandover: Hashable, Sendable {
  package var term: Term
  /// The last ceiling.
  package var ceiling: HybridTimestamp
  /// No timestamp at or above it was issued; not above the ceiling.
  package var floor: HybridTimestamp
  /// The lease of a leader that may still be issuing; none when the last one stopped.
  package var lease: Milliseconds

  package init(
    term: Term, ceiling: HybridTimestamp, floor: HybridTimestamp, lease: Milliseconds
  ) {
    self.term = term
    self.ceiling = ceiling
    self.floor = floor
    self.lease = lease
  }
}
