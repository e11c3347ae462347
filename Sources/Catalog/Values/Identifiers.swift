/// A 64-bit number with a meaning of its own, so that a version is never taken for a position.
package protocol Ordinal: Comparable, Hashable, Sendable, CustomStringConvertible {
  var rawValue: UInt64 { get }
  init(_ rawValue: UInt64)
}

extension Ordinal {
  package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

  package var description: String { String(rawValue) }

  /// The one after this.
  ///
  /// - Precondition: Not the last of 2^64, which no log reaches.
  package var next: Self { Self(rawValue + 1) }
}

/// Names a route for as long as the catalog lives; never given to a second route. Starts at 1.
package struct RouteID: Ordinal {
  package let rawValue: UInt64
  package init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// Names a group: the set of replicas that serves a route's keys.
package struct GroupID: Ordinal {
  package let rawValue: UInt64
  package init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// Counts the entries that changed routes: each makes exactly one new version.
///
/// ``zero`` is the catalog before its first entry.
package struct CatalogVersion: Ordinal {
  package static let zero = CatalogVersion(0)

  package let rawValue: UInt64
  package init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// The place of an entry in its stream. The first entry is at 1; ``zero`` is before it.
package struct LogPosition: Ordinal {
  package static let zero = LogPosition(0)
  /// No log gets further, so that there always is a position after one that was read.
  package static let last = LogPosition(UInt64(Int64.max))

  package let rawValue: UInt64
  package init(_ rawValue: UInt64) { self.rawValue = rawValue }
}
