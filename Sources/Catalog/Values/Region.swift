/// The name of a region: 1 to 63 of the ASCII letters `a` to `z`, digits and `-`, starting with a
/// letter.
public struct Region: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The longest name, in bytes.
  public static let maximumLength = 63
  /// The most regions that a route can name.
  public static let maximumCount = 100

  /// The name.
  public let name: String

  /// - Throws: ``RegionError`` when `name` is not of the form above.
  public init(_ name: some StringProtocol) throws(RegionError) {
    guard Self.isName(Array(name.utf8)) else { throw .malformed(String(name)) }
    self.name = String(name)
  }

  /// Takes a name that is known to be of the form above.
  init(unchecked name: String) { self.name = name }

  /// In the order of the names' bytes.
  public static func < (left: Region, right: Region) -> Bool {
    left.name.utf8.lexicographicallyPrecedes(right.name.utf8)
  }

  /// The name.
  public var description: String { name }
}

/// Why text is not the name of a ``Region``.
public enum RegionError: Error, Equatable, Sendable, CustomStringConvertible {
  case malformed(String)

  /// What is wrong.
  public var description: String {
    switch self {
    case .malformed(let name):
      "\"\(name)\" is no region's name: 1 to \(Region.maximumLength) of a-z, 0-9 and -, "
        + "starting with a letter"
    }
  }
}
