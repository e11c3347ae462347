/// A hybrid logical clock's reading: 48 bits of milliseconds since 1970 and a 16-bit counter that
/// orders what happened within one.
public struct HybridTimestamp: Ordinal {
  /// Before all others.
  public static let zero = HybridTimestamp(0)
  /// The last millisecond that fits, in the year 10889.
  public static let maximumMilliseconds: UInt64 = (1 << 48) - 1

  /// The start of the year 2200: a wall clock that is past it is wrong. An entry with its time would
  /// take all later entries there, since time never goes back.
  package static let latestPlausible = HybridTimestamp(milliseconds: 7_258_118_400_000)

  /// Milliseconds in the high 48 bits, the counter in the low 16.
  public let rawValue: UInt64
  /// Takes milliseconds and counter in one number.
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }

  /// - Precondition: At most ``maximumMilliseconds``.
  public init(milliseconds: UInt64, counter: UInt16 = 0) {
    precondition(milliseconds <= Self.maximumMilliseconds, "a time past the year 10889")
    rawValue = milliseconds << 16 | UInt64(counter)
  }

  /// Milliseconds since 1970-01-01T00:00:00Z.
  public var milliseconds: UInt64 { rawValue >> 16 }
  /// Orders what happened within a millisecond.
  public var counter: UInt16 { UInt16(truncatingIfNeeded: rawValue) }

  /// The earliest timestamp that is after this one and not before the wall clock's reading. A wall
  /// clock that went back does not take it back; a full counter moves into the next millisecond.
  package func following(wallMilliseconds: UInt64) -> HybridTimestamp {
    let wall = HybridTimestamp(milliseconds: min(wallMilliseconds, Self.maximumMilliseconds))
    return max(wall, next)
  }
}

extension HybridTimestamp {
  /// `milliseconds.counter`, as in `1785312000123.7`.
  public var description: String { "\(milliseconds).\(counter)" }
}
