import Catalog

/// All routes at one version: an immutable value, which a copy costs nothing of.
public struct CatalogSnapshot: Sendable {
  private let table: RouteTable

  package init(_ table: RouteTable) { self.table = table }

  /// The version that it shows.
  public var version: CatalogVersion { table.version }
  /// How many routes there are; none before the bootstrap.
  public var routeCount: Int { table.count }

  /// Who owns `key`; nil only while there are no routes. O(log *n*).
  public func owner(of key: Key) -> RouteOwner? {
    key.bytes.withUnsafeBytes { table.owner(of: $0) }
  }

  /// The route that holds `key`; nil only while there are no routes. O(log *n*).
  public func route(containing key: Key) -> Route? { table.route(containing: key) }

  /// The route with this id, or nil. O(log *n*).
  public func route(id: RouteID) -> Route? { table.route(id: id) }

  /// The routes that overlap `span`, in key order, at most `limit`.
  public func routes(overlapping span: KeySpan, limit: Int = .max) -> [Route] {
    table.routes(overlapping: span, limit: limit)
  }

  /// The routes of `group`, by their ids, at most `limit`.
  public func routes(of group: GroupID, limit: Int = .max) -> [Route] {
    table.routes(of: group, limit: limit)
  }
}
