import Catalog

/// The route that holds one key, as a register: read by lookups, written by commands that name the
/// version that their caller saw.
///
/// What a command does to other routes does not matter to it; each key of a test is a register of its
/// own. For that, every group that is moved to is moved to once, and every key that is cut at is cut at
/// once.
package struct RouteRegister: SequentialModel {
  /// What a lookup says of the route.
  package struct Value: Hashable, Sendable {
    package var version: CatalogVersion
    package var group: GroupID
    package var state: RouteState
    /// Where the route ends; nil where it reaches the end.
    package var end: Key?

    package init(version: CatalogVersion, group: GroupID, state: RouteState, end: Key?) {
      self.version = version
      self.group = group
      self.state = state
      self.end = end
    }

    package init(_ route: Route) {
      self.init(
        version: route.version, group: route.group, state: route.state, end: route.span.upper)
    }
  }

  /// What the route's version may be: after a command whose receipt was lost, any above one.
  package struct Versions: Hashable, Sendable {
    package var least: CatalogVersion
    /// nil where there is no bound.
    package var most: CatalogVersion?

    package static func only(_ version: CatalogVersion) -> Self {
      Self(least: version, most: version)
    }

    /// Those of them that are no later than `version`; nil when none is.
    fileprivate func through(_ version: CatalogVersion) -> Self? {
      least <= version ? Self(least: least, most: most.map { min($0, version) } ?? version) : nil
    }

    /// Those of them that are later than `version`; nil when none is.
    fileprivate func after(_ version: CatalogVersion) -> Self? {
      if let most, most <= version { return nil }
      return Self(least: max(least, version.next), most: most)
    }

    fileprivate func contains(_ version: CatalogVersion) -> Bool {
      least <= version && most.map { version <= $0 } ?? true
    }
  }

  package struct State: Hashable, Sendable {
    package var versions: Versions
    package var group: GroupID
    package var state: RouteState
    package var end: Key?
  }

  package enum Operation: Hashable, Sendable {
    case read
    case move(to: GroupID, expected: CatalogVersion?)
    case setState(RouteState, expected: CatalogVersion)
    /// Cuts at a key behind the register's own, and names the register's route.
    case split(at: Key, expected: CatalogVersion)
  }

  package enum Result: Hashable, Sendable {
    case found(Value)
    /// The command made this version.
    case made(CatalogVersion)
    case alreadyDone
    case refusedAsStale
    case refusedAsInactive
    /// The key to cut at is no longer in the route.
    case refusedAsOutside
  }

  /// What the route was when the test began.
  package let start: Value

  package init(start: Value) { self.start = start }

  package var initial: State {
    State(versions: .only(start.version), group: start.group, state: start.state, end: start.end)
  }

  package func step(_ state: State, _ operation: Operation, _ result: Result?) -> State? {
    switch operation {
    case .read:
      guard let result else { return state }
      guard case .found(let value) = result else { return nil }
      return state.seen(value)
    case .move(let group, let expected):
      var next = state
      next.group = group
      return state.carriedOut(as: next, expected: expected, result)
    case .setState(let target, let expected):
      guard state.state != target else {
        return result == nil || result == .alreadyDone ? state : nil
      }
      var next = state
      next.state = target
      return state.carriedOut(as: next, expected: expected, result)
    case .split(let key, let expected):
      // In the order in which the catalog finds fault.
      if let end = state.end, key >= end {
        return result == nil || result == .refusedAsOutside ? state : nil
      }
      if result == .refusedAsInactive {
        return state.state == .active ? nil : state.unchanged(since: expected)
      }
      var next = state
      next.end = key
      guard state.state == .active || result == .refusedAsStale else {
        return result == nil ? state : nil
      }
      return state.carriedOut(as: next, expected: expected, result)
    }
  }
}

extension RouteRegister.State {
  /// The state in which a lookup finds `value`; nil when this is none.
  fileprivate func seen(_ value: RouteRegister.Value) -> Self? {
    guard value.group == group, value.state == state, value.end == end,
      versions.contains(value.version)
    else { return nil }
    return with(.only(value.version))
  }

  /// The state if the route did not change after `expected`; nil when it did.
  fileprivate func unchanged(since expected: CatalogVersion) -> Self? {
    versions.through(expected).map(with)
  }

  private func with(_ versions: RouteRegister.Versions) -> Self {
    var same = self
    same.versions = versions
    return same
  }

  /// The state after a command that would make `next` of this one.
  fileprivate func carriedOut(
    as next: Self, expected: CatalogVersion?, _ result: RouteRegister.Result?
  ) -> Self? {
    switch result {
    case .made(let version)?:
      if let expected, unchanged(since: expected) == nil { return nil }
      guard version > versions.least else { return nil }
      return next.with(.only(version))
    case .refusedAsStale?:
      return expected.flatMap { versions.after($0) }.map(with)
    case nil:
      // Where it would be refused nothing happens.
      if let expected, unchanged(since: expected) == nil { return self }
      return next.with(RouteRegister.Versions(least: versions.least.next, most: nil))
    case .found, .alreadyDone, .refusedAsInactive, .refusedAsOutside: return nil
    }
  }
}
