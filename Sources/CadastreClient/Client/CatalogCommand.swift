import Catalog
import StateMachines

/// A change of the catalog, all of it or nothing, in one version.
///
/// It carries an id: sent again under the same id it is carried out once. Keep the command where the
/// caller may crash between sending it and hearing of it.
public struct CatalogCommand: Hashable, Sendable {
  /// What is to change. What already is as asked for is passed over.
  public enum Change: Hashable, Sendable {
    /// The first routes, in ascending order of their start keys, the first at ``Key/least``.
    case bootstrap([RouteSeedRequest])
    /// Cuts at keys, in any order.
    case split([SplitRequest])
    /// Neighbours that become one.
    case merge([MergeRequest])
    /// Routes that go to another group.
    case move([RouteID], to: GroupID)
    /// What may be done with the keys of routes.
    case setState([RouteID], to: RouteState)
    /// Where replicas of routes may live; none means anywhere.
    case setAllowedRegions([RouteID], to: [Region])
  }

  /// The caller's name for the command.
  public var id: CommandID
  /// What is to change.
  public var change: Change
  /// Who asks.
  public var actor: String
  /// Why.
  public var reason: String
  /// The version that the caller looked at: refused when a route that would change is newer. nil takes
  /// the catalog as it is.
  public var expectedVersion: CatalogVersion?

  /// A command; ``CatalogClient/makeCommandID()`` makes ids.
  public init(
    id: CommandID, _ change: Change, actor: String, reason: String,
    expecting version: CatalogVersion? = nil
  ) {
    self.id = id
    self.change = change
    self.actor = actor
    self.reason = reason
    expectedVersion = version
  }

  package var command: Command {
    let change: RouteChange =
      switch self.change {
      case .bootstrap(let seeds): .bootstrap(seeds)
      case .split(let splits): .split(splits)
      case .merge(let merges): .merge(merges)
      case .move(let routes, let group): .move(routes, to: group)
      case .setState(let routes, let state): .setState(routes, to: state)
      case .setAllowedRegions(let routes, let regions): .setAllowedRegions(routes, to: regions)
      }
    return Command(
      id: id, expectedVersion: expectedVersion, actor: actor, reason: reason, change: change)
  }
}
