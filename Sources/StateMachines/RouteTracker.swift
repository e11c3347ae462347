import Catalog

/// Follows through the events of a log which routes may be the ones that are asked for, without a
/// table: the first of three steps of an answer as of a version, from a table of before.
///
/// 1. A tracker that is given the routes of that table which are in the scope follows every event up
///    to the version: ``candidates`` are then the routes of the scope at the version, and perhaps
///    some more.
/// 2. A ``RoutePlan`` of them says which routes of the table make them what they are.
/// 3. Folding the plan onto those routes gives the candidates as they are at the version, of which
///    ``RouteScope/contains(_:)`` keeps those that are asked for.
package struct RouteTracker: Sendable {
  /// The ids of all routes of the scope, of one key exactly those; none that is no more.
  package private(set) var candidates: Set<RouteID>
  private let interest: Interest

  /// What makes a route a candidate, in the form that costs least to ask.
  private enum Interest {
    /// Something from `first` up to `last`.
    case keys(first: Key, last: Key)
    case span(KeySpan)
    case group(GroupID)
    case ids(Set<RouteID>)
    case nothing
  }

  /// - Parameters:
  ///   - scope: What is asked for.
  ///   - routes: The ids of the routes of the table that are in the scope. For a scope of ids they
  ///     are these ids, whether the table has them or not.
  package init(_ scope: RouteScope, from routes: some Sequence<RouteID>) {
    candidates = Set(routes)
    switch scope {
    case .keys(let keys):
      if let first = keys.min(), let last = keys.max() {
        interest = .keys(first: first, last: last)
      } else {
        interest = .nothing
      }
    case .span(let span): interest = .span(span)
    case .group(let group): interest = .group(group)
    case .ids(let ids): interest = .ids(ids)
    }
  }

  /// Follows one event. O(1), or O(*n*) for a bootstrap of *n* routes.
  package mutating func follow(_ event: Event) {
    switch event {
    case .routesBootstrapped(let seeds):
      bootstrap(seeds)
    case .routeSplit(let route, _, let boundary, let newRoute):
      split(route, at: boundary, newRoute)
    case .routesMerged(let route, _, _, let absorbed):
      guard candidates.remove(absorbed) != nil else { return }
      switch interest {
      case .keys, .span: candidates.insert(route)
      // The survivor stays what it was.
      case .group, .ids, .nothing: break
      }
    case .routeMoved(let route, _, let from, let to):
      guard case .group(let group) = interest else { return }
      if to == group {
        candidates.insert(route)
      } else if from == group {
        candidates.remove(route)
      }
    case .routeStateChanged, .allowedRegionsChanged, .catalogCommitted, .logTrimmed, .region,
      .membership:
      break
    }
  }

  private mutating func split(_ route: RouteID, at boundary: Key, _ newRoute: RouteID) {
    switch interest {
    case .keys(let first, let last):
      guard candidates.contains(route) else { return }
      if boundary <= last { candidates.insert(newRoute) }
      if boundary <= first { candidates.remove(route) }
    case .span(let span):
      guard candidates.contains(route) else { return }
      if span.upper.map({ boundary < $0 }) ?? true { candidates.insert(newRoute) }
      if boundary <= span.lower { candidates.remove(route) }
    case .group:
      if candidates.contains(route) { candidates.insert(newRoute) }
    case .ids, .nothing:
      break
    }
  }

  private mutating func bootstrap(_ seeds: [RouteSeed]) {
    for index in seeds.indices {
      let seed = seeds[index]
      let upper = index + 1 < seeds.count ? seeds[index + 1].start : nil
      let isIn =
        switch interest {
        case .keys(let first, let last): seed.start <= last && (upper.map { first < $0 } ?? true)
        case .span(let span):
          (span.upper.map { seed.start < $0 } ?? true) && (upper.map { span.lower < $0 } ?? true)
        case .group(let group): seed.group == group
        case .ids(let ids): ids.contains(seed.id)
        case .nothing: false
        }
      if isIn { candidates.insert(seed.id) }
    }
  }
}
