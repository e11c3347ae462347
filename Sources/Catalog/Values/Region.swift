/// The name of a region: 1 to 63 of the ASCII letters `a` to `z`, digits and `-`, starting with a
/// letter.
package struct Region: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The longest name, in bytes.
  package static let maximumLength = 63
  /// The most regions that a route can name.
  package static let maximumCount = 100

  package let name: String

  /// - Throws: ``RegionError`` when `name` is not of the form above.
  package init(_ name: some StringProtocol) throws(RegionError) {
    guard Self.isName(Array(name.utf8)) else { throw .malformed(String(name)) }
    self.name = String(name)
  }

  /// Takes a name that is known to be of the form above.
  init(unchecked name: String) { self.name = name }

  /// In the order of the names' bytes.
  package static func < (left: Region, right: Region) -> Bool {
    left.name.utf8.lexicographicallyPrecedes(right.name.utf8)
  }

  package var description: String { name }
}

/// Why text is not the name of a ``Region``.
package enum RegionError: Error, Equatable, Sendable, CustomStringConvertible {
  case malformed(String)

  package var description: String {
    switch self {
    case .malformed(let name):
      "\"\(name)\" is no region's name: 1 to \(Region.maximumLength) of a-z, 0-9 and -, "
        + "starting with a letter"
    }
  }
}
