/// What part an identity plays, and with it what it may do.
package enum AccessRole: String, CaseIterable, Sendable {
  /// Asks: routes, watches, the past.
  case reader
  /// Asks, and changes what there is.
  case `operator`
  /// A node that follows this one: asks, copies the log, and passes on what its own callers want to
  /// change, in their names.
  case learner
}

/// What a method does, and with it whom it is for.
package enum Access: Sendable {
  /// Tells nothing of the catalog: anybody.
  case open
  /// Tells of the catalog and its past.
  case reading
  /// Hands out the log itself.
  case copying
  /// Changes members, or brings a group's clock home: operators, and nodes for themselves.
  case joining
  /// Changes the catalog, a region's stream, or a clock.
  case changing

  /// The roles that may call such a method in their own name.
  package var roles: Set<AccessRole> {
    switch self {
    case .open, .reading: Set(AccessRole.allCases)
    case .copying, .joining: [.operator, .learner]
    case .changing: [.operator]
    }
  }

  /// Whether nodes pass such calls on for others.
  package var isPassedOn: Bool {
    switch self {
    case .open, .reading, .copying: false
    case .joining, .changing: true
    }
  }
}
