/// One immutable version of the catalog's routes: by start key, by group and by id, with their
/// count and digest.
///
/// A copy costs O(1); ``edit(version:time:_:)`` makes the next version, which shares with this one
/// all that did not change. The routes tile the keyspace, or there are none yet.
package struct RouteTable: Sendable {
  /// The version of the entry that last changed a route.
  package internal(set) var version: CatalogVersion = .zero
  /// The id that the next new route gets: one more than the highest ever given, since ids are not
  /// given twice.
  package internal(set) var nextRouteID = RouteID(1)
  /// The sum of the records of the routes; see ``StateDigest``.
  package internal(set) var digest: StateDigest = .zero

  // The three indexes are trees of one version, so a copy retains one object.
  var holder: RouteIndex.Version
  var trees: RouteIndex.Trees

  /// Start key to ``RouteRow``; a route ends where the next one starts.
  var byStart: RouteIndex { RouteIndex(version: holder, tree: trees[TreeIndex.byStart]) }
  /// Id, big-endian, to start key.
  var byID: RouteIndex { RouteIndex(version: holder, tree: trees[TreeIndex.byID]) }
  /// Group and id, big-endian, to nothing.
  var byGroup: RouteIndex { RouteIndex(version: holder, tree: trees[TreeIndex.byGroup]) }

  /// The places of the indexes among the trees of a version.
  enum TreeIndex {
    static let byStart = 0
    static let byID = 1
    static let byGroup = 2
  }

  /// The table before the bootstrap: no routes.
  package init() { self.init(in: IndexStore()) }

  /// A table without routes whose indexes' nodes live in `store`.
  package init(in store: IndexStore) {
    trees = RouteIndex.Trees()
    holder = store.makeFirstVersion(of: trees)
  }

  /// A table of these routes, which come in key order. O(*n* log *n*).
  ///
  /// - Throws: ``RouteTableError/badSeed(index:)`` unless they tile the keyspace, with ids below
  ///   `nextRouteID` that are given once.
  package init(
    version: CatalogVersion, nextRouteID: RouteID, routes: some Sequence<Route>
  ) throws(RouteTableError) {
    self.init()
    var builder = RouteTableBuilder(in: store)
    for route in routes { try builder.append(route) }
    try builder.finish(into: &self)
    guard self.nextRouteID <= nextRouteID else { throw .badSeed(index: count) }
    self.version = version
    self.nextRouteID = nextRouteID
  }

  /// How many routes there are.
  package var count: Int { trees[TreeIndex.byStart].count }
  package var isEmpty: Bool { count == 0 }
  /// Where the nodes of the indexes live.
  package var store: IndexStore { holder.store }
}

/// What a router asks for: who owns a key.
public struct RouteOwner: Hashable, Sendable {
  /// The route that holds the key.
  public var route: RouteID
  /// The group that serves it.
  public var group: GroupID
  /// What may be done with it.
  public var state: RouteState

  /// An owner of these parts.
  public init(route: RouteID, group: GroupID, state: RouteState) {
    self.route = route
    self.group = group
    self.state = state
  }
}

/// Why an event does not fit the table that it is folded into: the log and the table disagree.
package enum RouteTableError: Error, Equatable, Sendable {
  /// A bootstrap of a table that has, or had, routes.
  case notEmpty
  /// The seed at this index does not start after the one before it (the first: at the least key),
  /// or its id is 0, the greatest, or given twice.
  case badSeed(index: Int)
  case noRouteStarts(at: Key)
  case otherRouteStarts(at: Key, found: RouteID, named: RouteID)
  /// A split key that is not inside the route.
  case boundaryOutside(Key, RouteID)
  /// An id that was given before.
  case routeIDUsed(RouteID)
  case notNeighbours(RouteID, RouteID)
  /// The route is not in the group or state that the event says it came from.
  case changedElsewhere(RouteID)
  /// More allowed regions than ``Region/maximumCount``.
  case tooManyRegions(RouteID, count: Int)
}
