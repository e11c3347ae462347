import Catalog

/// A change of routes. Routes are named as they are before the command.
///
/// Every change but the bootstrap says how the catalog should be: what already is so is passed
/// over, and a change of which everything already is so is done.
package enum RouteChange: Hashable, Sendable {
  /// The first routes, in ascending order of their start keys, the first at ``Key/least``. They
  /// get the ids 1, 2, 3 and so on.
  case bootstrap([RouteSeedRequest])
  /// Cuts at keys, in any order. The part from a key up gets a new id, in the order of keys.
  case split([SplitRequest])
  /// Neighbours that become one, which keeps the left one's id. Pairs may share routes: `(a, b)`
  /// and `(b, c)` make one route of three.
  case merge([MergeRequest])
  case move([RouteID], to: GroupID)
  case setState([RouteID], to: RouteState)
  /// The regions in any order; none means anywhere.
  case setAllowedRegions([RouteID], to: [Region])
  /// All routes as they are to be, in ascending order of their start keys, the first at
  /// ``Key/least``: by the splits and merges that it takes, and a move at most for each route. A
  /// catalog without routes is bootstrapped with them; else the regions are not looked at.
  case arrange([RouteSeedRequest])
  /// Something about members, regions, homes or recovery.
  case membership(MembershipChange)
}

/// A route of the bootstrap: it reaches from `start` to the start of the next.
public struct RouteSeedRequest: Hashable, Sendable {
  /// The first key.
  public var start: Key
  /// Who is to serve it.
  public var group: GroupID
  /// In any order; none means anywhere.
  public var allowedRegions: [Region]

  /// A route that begins at `start`.
  public init(start: Key, group: GroupID, allowedRegions: [Region] = []) {
    self.start = start
    self.group = group
    self.allowedRegions = allowedRegions
  }
}

/// A cut: a route starts at `at` from then on.
public struct SplitRequest: Hashable, Sendable {
  /// The route that the caller believes to hold the key, or nil to cut whichever does.
  public var route: RouteID?
  /// Where to cut.
  public var at: Key

  /// A cut at `key`.
  public init(route: RouteID? = nil, at key: Key) {
    self.route = route
    self.at = key
  }
}

/// Two neighbours that become one. Named in the wrong order they are taken in the right one.
public struct MergeRequest: Hashable, Sendable {
  /// The one that stays.
  public var left: RouteID
  /// The one that goes into it.
  public var right: RouteID

  /// Two neighbours.
  public init(left: RouteID, right: RouteID) {
    self.left = left
    self.right = right
  }
}

extension RouteChange {
  /// The most changes in one command, those of a bootstrap and an arrangement aside.
  package static let maximumCount = 100_000

  /// How many changes are asked for.
  package var count: Int {
    switch self {
    case .bootstrap(let seeds), .arrange(let seeds): seeds.count
    case .split(let splits): splits.count
    case .merge(let merges): merges.count
    case .move(let routes, _), .setState(let routes, _), .setAllowedRegions(let routes, _):
      routes.count
    case .membership(let change): change.count
    }
  }
}
