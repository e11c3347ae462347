import Catalog
import StateMachines

extension AuditReader {
  /// The routes that hold `keys`, in their order. O(*k* log *n*), and for a route that was changed
  /// before the next checkpoint the entries since the one before, at most one interval of them.
  ///
  /// - Throws: ``AuditError/noRoutes(at:)`` before the bootstrap.
  package func routes(
    containing keys: [Key], at point: AuditPoint
  ) throws(AuditError) -> [Route] {
    let found = try view(at: point.version).routes(containing: keys)
      .sorted { $0.span.lower < $1.span.lower }
    return try keys.map { key throws(AuditError) in
      guard let route = found.last(atOrBefore: key) else { throw .noRoutes(at: point.version) }
      return route
    }
  }

  /// Those of these routes that there were, by id. Like ``routes(containing:at:)``.
  package func routes(
    withIDs ids: [RouteID], at point: AuditPoint
  ) throws(AuditError) -> [Route] {
    try view(at: point.version).routes(withIDs: Set(ids)).sorted { $0.id < $1.id }
  }

  /// The routes that overlap `span`, in key order.
  package func routes(
    overlapping span: KeySpan, at point: AuditPoint
  ) throws(AuditError) -> AuditListing {
    AuditListing(try view(at: point.version), .span(span))
  }

  /// The routes of `group`, by id.
  package func routes(of group: GroupID, at point: AuditPoint) throws(AuditError) -> AuditListing {
    let view = try view(at: point.version)
    return AuditListing(view, .group(group, rest: try view.candidates(of: group)[...]))
  }
}

/// A listing of the routes of one version, page by page.
package struct AuditListing: Sendable {
  private let view: AuditView
  private var rest: Rest

  enum Rest: Sendable {
    case span(KeySpan)
    case group(GroupID, rest: ArraySlice<RouteID>)
    case nothing
  }

  init(_ view: AuditView, _ rest: Rest) {
    (self.view, self.rest) = (view, rest)
  }

  /// The next routes, at least one and at most `limit`; nil after the last.
  package mutating func next(limit: Int = 1024) throws(AuditError) -> [Route]? {
    switch rest {
    case .span(let span): return try next(of: span, limit: max(1, limit))
    case .group(let group, let ids): return try next(of: group, ids, limit: max(1, limit))
    case .nothing: return nil
    }
  }

  private mutating func next(of span: KeySpan, limit: Int) throws(AuditError) -> [Route]? {
    let routes = try view.routes(overlapping: span, limit: limit)
    guard let end = routes.last?.span.upper, span.upper.map({ end < $0 }) ?? true else {
      rest = .nothing
      return routes.isEmpty ? nil : routes
    }
    rest = .span(KeySpan(unchecked: end, span.upper))
    return routes
  }

  private mutating func next(
    of group: GroupID, _ ids: ArraySlice<RouteID>, limit: Int
  ) throws(AuditError) -> [Route]? {
    var ids = ids
    while !ids.isEmpty {
      let page = ids.prefix(limit)
      ids = ids.dropFirst(limit)
      rest = .group(group, rest: ids)
      let routes = try view.routes(withIDs: Set(page)).filter { $0.group == group }
        .sorted { $0.id < $1.id }
      if !routes.isEmpty { return routes }
    }
    rest = .nothing
    return nil
  }
}

extension [Route] {
  /// Of routes in key order, the one that holds `key`. O(log *n*).
  fileprivate func last(atOrBefore key: Key) -> Route? {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle].span.lower <= key { low = middle + 1 } else { high = middle }
    }
    guard low > 0, self[low - 1].span.contains(key) else { return nil }
    return self[low - 1]
  }
}
