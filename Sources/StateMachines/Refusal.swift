import Catalog

/// Why a command is not carried out. Nothing has changed, and each case carries what the caller
/// needs to ask again, and better.
package enum Refusal: Error, Hashable, Sendable {
  /// How many routes a refusal carries at most.
  package static let maximumRouteCount = 8
  /// How far the routes between two that do not touch are counted.
  package static let maximumBetweenCount = 1000

  /// There are no routes yet.
  case notBootstrapped
  /// There are routes already, or were.
  case alreadyBootstrapped(version: CatalogVersion)
  /// The first route of a bootstrap does not start at the least key.
  case firstRouteNotAtLeastKey(start: Key)
  /// The route at this index of a bootstrap does not start after the one before it.
  case bootstrapNotAscending(index: Int, previous: Key, start: Key)

  /// The command asks for nothing.
  case emptyBatch
  case batchTooLarge(count: Int, maximum: Int)
  case actorTooLong(byteCount: Int)
  case reasonTooLong(byteCount: Int)
  /// More allowed regions than a route can have.
  case tooManyRegions(count: Int, maximum: Int)
  /// The entry would be longer than ``LogEntry/maximumByteCount``.
  case entryTooLong
  /// The entry would get this time, which the clock of whoever decides cannot rightly show.
  case clockWrong(HybridTimestamp)
  /// What is asked for has no form in the log.
  case notEncodable(LogCodingError)

  /// Routes that the command would change were changed after the version that the caller looked
  /// at. `newer` has them as they are now, at most ``maximumRouteCount`` of them.
  case staleVersion(expected: CatalogVersion, current: CatalogVersion, newer: [Route])
  /// The caller looked at a version that this catalog does not have yet.
  case versionInFuture(expected: CatalogVersion, current: CatalogVersion)

  /// No route ever had this id.
  case noSuchRoute(RouteID, nextRouteID: RouteID)
  /// A route had this id and was merged into a neighbour since.
  case routeGone(RouteID)
  /// Only an active route is split or merged; this one is not.
  case routeNotActive(Route)
  /// The route that was named does not hold the key; `holder` does.
  case splitKeyOutsideRoute(Key, named: Route, holder: Route)
  /// Fewer ids are left than the command needs.
  case routeIDsExhausted

  /// A route is to be merged with itself.
  case mergeWithItself(RouteID)
  /// Two routes to be merged do not touch. `between` has the first routes from one to the other,
  /// at most ``maximumRouteCount``; `betweenCount` counts them, up to ``maximumBetweenCount``.
  case notNeighbours(left: Route, right: Route, between: [Route], betweenCount: Int)
  /// Two routes to be merged belong to different groups.
  case differentGroups(left: Route, right: Route)
  /// Two routes to be merged are allowed in different regions.
  case differentRegions(left: Route, right: Route)

  /// Something about members, regions or placement.
  case membership(MembershipRefusal)
}
