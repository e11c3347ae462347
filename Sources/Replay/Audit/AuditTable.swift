import Catalog
import StateMachines

/// The routes of one version, of which single ones are asked for, be they in memory or in a
/// checkpoint.
protocol RouteSource: Sendable {
  /// The routes that hold these keys; a route that holds two of them comes twice.
  func routes(containing keys: [Key]) throws(StoreError) -> [Route]
  /// Those of these routes that there are.
  func routes(withIDs ids: Set<RouteID>) throws(StoreError) -> [Route]
  /// The routes that overlap the span, in key order, at most `limit`.
  func routes(overlapping span: KeySpan, limit: Int) throws(StoreError) -> [Route]
  /// The ids of the routes of the group, ascending.
  func routeIDs(of group: GroupID) throws(StoreError) -> [RouteID]
}

/// A version with its place in the log: what an as-of answer starts from.
struct AuditTable: Sendable {
  var version: CatalogVersion
  /// The last entry that the version was made of, its hash and its time.
  var position: LogPosition
  var hash: EntryHash
  var time: HybridTimestamp
  var source: any RouteSource
  /// The checkpoint that it is; nil for a state in memory.
  var root: CheckpointRoot?
}

/// Routes in memory.
struct RoutesInMemory: RouteSource {
  let table: RouteTable

  func routes(containing keys: [Key]) -> [Route] {
    keys.compactMap { table.route(containing: $0) }
  }

  func routes(withIDs ids: Set<RouteID>) -> [Route] { ids.compactMap { table.route(id: $0) } }

  func routes(overlapping span: KeySpan, limit: Int) -> [Route] {
    table.routes(overlapping: span, limit: limit)
  }

  func routeIDs(of group: GroupID) -> [RouteID] { table.routes(of: group).map(\.id) }
}
