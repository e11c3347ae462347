/// Which routes a watch is about.
public enum WatchFilter: Hashable, Sendable {
  /// All that there are.
  case all
  /// Those that overlap the span.
  case span(KeySpan)
  /// Those of the group.
  case group(GroupID)

  /// Whether the filter lets a route through. O(1).
  package func contains(_ route: Route) -> Bool {
    switch self {
    case .all: true
    case .span(let span): route.span.overlaps(span)
    case .group(let group): route.group == group
    }
  }
}
