/// Something that happened to the catalog. Events are facts: folding one never asks whether it was
/// allowed.
///
/// Each that changes a route names the route's start key, so that a reader of the log can tell
/// where in the keyspace it happened without folding what came before.
package enum Event: Hashable, Sendable {
  /// The first routes of a catalog, in key order; they tile the keyspace.
  case routesBootstrapped([RouteSeed])
  /// A route gave the part from `boundary` up to a new one, which is alike but for its id.
  case routeSplit(route: RouteID, start: Key, boundary: Key, newRoute: RouteID)
  /// A route took in its right neighbour `absorbed`, which started at `boundary` and is no more.
  case routesMerged(route: RouteID, start: Key, boundary: Key, absorbed: RouteID)
  /// A route went from one group to another.
  case routeMoved(route: RouteID, start: Key, from: GroupID, to: GroupID)
  case routeStateChanged(route: RouteID, start: Key, from: RouteState, to: RouteState)
  /// `regions` is sorted, without repeats; empty means anywhere.
  case allowedRegionsChanged(route: RouteID, start: Key, regions: [Region])
  /// Changes no routes: says what they add up to, for proofs.
  case catalogCommitted(CatalogCommitment)
  /// Changes no routes: says that entries before were removed.
  case logTrimmed(TrimMarker)
  /// Has nothing to do with routes: an event of a region's stream, which has no others.
  case region(RegionEvent)
  /// Changes no routes: something about members, regions or groups' homes.
  case membership(MembershipEvent)
}

/// A route of the bootstrap: it reaches from `start` to the start of the next.
package struct RouteSeed: Hashable, Sendable {
  package var id: RouteID
  package var start: Key
  package var group: GroupID
  /// Sorted, without repeats; empty means anywhere.
  package var allowedRegions: [Region]

  package init(id: RouteID, start: Key, group: GroupID, allowedRegions: [Region] = []) {
    self.id = id
    self.start = start
    self.group = group
    self.allowedRegions = allowedRegions
  }
}
