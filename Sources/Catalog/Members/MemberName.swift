/// The name of a member, a process that keeps a log of the catalog: of the form that regions' names
/// have. It stays with the member for as long as the catalog lives.
package struct MemberName: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let name: String

  /// - Throws: ``MemberNameError`` when `name` is not of that form.
  package init(_ name: some StringProtocol) throws(MemberNameError) {
    guard Region.isName(Array(name.utf8)) else { throw .malformed(String(name)) }
    self.name = String(name)
  }

  /// In the order of the names' bytes.
  package static func < (left: MemberName, right: MemberName) -> Bool {
    left.name.utf8.lexicographicallyPrecedes(right.name.utf8)
  }

  package var description: String { name }
}

/// Why text is not a ``MemberName``.
package enum MemberNameError: Error, Equatable, Sendable, CustomStringConvertible {
  case malformed(String)

  package var description: String {
    switch self {
    case .malformed(let name):
      "\"\(name)\" is no member's name: 1 to \(Region.maximumLength) of a-z, 0-9 and -, "
        + "starting with a letter"
    }
  }
}

/// Names a policy that lets routes of a lost region be promoted without an operator.
package typealias PolicyName = MemberName
