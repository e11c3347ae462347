import Catalog

/// All routes that a client watches, at one version: an immutable value, which a copy costs nothing of.
///
/// With a filter other than ``WatchFilter/all`` it holds those alone that the filter lets through, and
/// answers nothing for all others.
public struct CatalogSnapshot: Sendable {
  private enum Routes: Sendable {
    case whole(RouteTable)
    case partial(SelectedRoutes)
  }

  private let routes: Routes

  package init(_ table: RouteTable) { routes = .whole(table) }

  package init(_ routes: SelectedRoutes) { self.routes = .partial(routes) }

  /// The table of all routes; nil where some are left out.
  package var table: RouteTable? { if case .whole(let table) = routes { table } else { nil } }

  /// The version that it shows.
  public var version: CatalogVersion {
    switch routes {
    case .whole(let table): table.version
    case .partial(let routes): routes.version
    }
  }

  /// How many routes there are; none before the bootstrap.
  public var routeCount: Int {
    switch routes {
    case .whole(let table): table.count
    case .partial(let routes): routes.count
    }
  }

  /// Who owns `key`; nil while there are no routes, and where the filter leaves out the one that holds
  /// it. O(log *n*).
  public func owner(of key: Key) -> RouteOwner? {
    key.bytes.withUnsafeBytes { owner(ofBytes: $0) }
  }

  /// Like ``owner(of:)`` for the bytes of a key, which are lent.
  public func owner(ofBytes key: UnsafeRawBufferPointer) -> RouteOwner? {
    switch routes {
    case .whole(let table): table.owner(of: key)
    case .partial(let routes): routes.owner(of: key)
    }
  }

  /// The route that holds `key`; nil as with ``owner(of:)``. O(log *n*).
  public func route(containing key: Key) -> Route? {
    switch routes {
    case .whole(let table): table.route(containing: key)
    case .partial(let routes): routes.route(containing: key)
    }
  }

  /// The route with this id, or nil. O(log *n*).
  public func route(id: RouteID) -> Route? {
    switch routes {
    case .whole(let table): table.route(id: id)
    case .partial(let routes): routes.route(id: id)
    }
  }

  /// The routes that overlap `span`, in key order, at most `limit`.
  public func routes(overlapping span: KeySpan, limit: Int = .max) -> [Route] {
    switch routes {
    case .whole(let table): table.routes(overlapping: span, limit: limit)
    case .partial(let routes): routes.routes(overlapping: span, limit: limit)
    }
  }

  /// The routes of `group`, by their ids, at most `limit`.
  public func routes(of group: GroupID, limit: Int = .max) -> [Route] {
    switch routes {
    case .whole(let table): table.routes(of: group, limit: limit)
    case .partial(let routes): routes.routes(of: group, limit: limit)
    }
  }
}
