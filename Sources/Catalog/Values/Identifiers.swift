/// A 64-bit number with a meaning of its own, so that a version is never taken for a position.
public protocol Ordinal: Comparable, Hashable, Sendable, CustomStringConvertible {
  var rawValue: UInt64 { get }
  init(_ rawValue: UInt64)
}

extension Ordinal {
  /// In the order of the numbers.
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

  /// The number in decimal.
  public var description: String { String(rawValue) }

  /// The one after this.
  ///
  /// - Precondition: Not the last of 2^64, which no log reaches.
  public var next: Self { Self(rawValue + 1) }
}

/// Names a route for as long as the catalog lives; never given to a second route. Starts at 1.
public struct RouteID: Ordinal {
  /// The number.
  public let rawValue: UInt64
  /// Takes the number.
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// Names a group: the set of replicas that serves a route's keys.
public struct GroupID: Ordinal {
  /// The number.
  public let rawValue: UInt64
  /// Takes the number.
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// Counts the entries that changed routes: each makes exactly one new version.
///
/// ``zero`` is the catalog before its first entry.
public struct CatalogVersion: Ordinal {
  /// Before the first entry.
  public static let zero = CatalogVersion(0)

  /// The number.
  public let rawValue: UInt64
  /// Takes the number.
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// The place of an entry in its stream. The first entry is at 1; ``zero`` is before it.
public struct LogPosition: Ordinal {
  /// Before the first entry.
  public static let zero = LogPosition(0)
  /// No log gets further, so that there always is a position after one that was read.
  public static let last = LogPosition(UInt64(Int64.max))

  /// The number.
  public let rawValue: UInt64
  /// Takes the number.
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}
