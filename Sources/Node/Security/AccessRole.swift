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
  /// Changes the catalog.
  case changing
  /// Changes a region's stream, or a clock. Nodes pass no such call on: who asks one that does not lead
  /// is told which one does, and asks that one under its own name.
  case leading

  /// The roles that may call such a method in their own name.
  package var roles: Set<AccessRole> {
    switch self {
    case .open, .reading: Set(AccessRole.allCases)
    case .copying, .joining: [.operator, .learner]
    case .changing, .leading: [.operator]
    }
  }

  /// Whether nodes pass such calls on for others.
  package var isPassedOn: Bool {
    switch self {
    case .open, .reading, .copying, .leading: false
    case .joining, .changing: true
    }
  }
}
