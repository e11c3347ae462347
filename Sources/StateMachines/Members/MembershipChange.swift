import Catalog

/// A change of members, regions, homes, or of what a region's loss and return do to routes.
///
/// Like a change of routes it says how things should be: what already is so is passed over.
package enum MembershipChange: Hashable, Sendable {
  /// Lets entries need a capability, for good. Asked for on purpose, and given only when every
  /// active member reads it.
  case enable(Capability)
  /// A member joins, or comes again with another address, region or binary.
  case join(MemberName, address: String, region: Region, capabilities: CapabilitySet)
  case leave(MemberName)
  /// A member says whether it has heard nothing of any member of a region past the membership
  /// timeout. What follows for the region is decided with it.
  case report(by: MemberName, of: Region, isSilent: Bool)
  /// An operator says that a region is lost, where its judges cannot.
  case declareLost(Region)
  /// Goes through the next routes of a region, at most `limit`: soft-fails them after its loss, makes
  /// them active again when it returns.
  case sweep(Region, epoch: UInt64, limit: Int)
  /// Lets a lost region come back.
  case beginReturn(Region)
  /// Gives groups a home; nil takes it away. With `evenIfViolating` also where routes of a group are
  /// not allowed, for an operator who moves the routes next.
  case setHomes([GroupID], Region?, evenIfViolating: Bool)
  case setLeaderPreference(Region, [Region])
  /// Lets routes within the span be promoted without an operator; nil ends that.
  case setPromotionPolicy(PolicyName, KeySpan?)
  /// One step of a recovery plan.
  case promote(PromotionStep)
  /// A process is about to lead the stream of a region. Refused where another member claims it under the
  /// same epoch, unless the caller knows that this one has stopped for good: `replacing`.
  case claim(RegionClaim, replacing: Bool)
}

/// A step of a recovery plan: some soft-failed routes go to other groups and become active.
package struct PromotionStep: Hashable, Sendable {
  package var region: Region
  /// The region's epoch when the plan was made.
  package var epoch: UInt64
  /// Names the plan.
  package var plan: EntryHash
  /// The catalog's version when the plan was made: a route that changed since is not touched.
  package var version: CatalogVersion
  /// Which step this is, from 0 on, of how many.
  package var step: UInt64
  package var steps: UInt64
  package var moves: [PromotionMove]

  package init(
    region: Region, epoch: UInt64, plan: EntryHash, version: CatalogVersion, step: UInt64,
    steps: UInt64, moves: [PromotionMove]
  ) {
    self.region = region
    self.epoch = epoch
    self.plan = plan
    self.version = version
    self.step = step
    self.steps = steps
    self.moves = moves
  }
}

/// Routes of one group that go to another.
package struct PromotionMove: Hashable, Sendable {
  package var from: GroupID
  package var to: GroupID
  package var routes: [RouteID]

  package init(from: GroupID, to: GroupID, routes: [RouteID]) {
    self.from = from
    self.to = to
    self.routes = routes
  }
}

extension MembershipChange {
  /// How many things are to change.
  package var count: Int {
    switch self {
    case .setHomes(let groups, _, _): groups.count
    case .promote(let step): step.moves.reduce(0) { $0 + $1.routes.count }
    case .sweep(_, _, let limit): limit
    case .enable, .join, .leave, .report, .declareLost, .beginReturn, .setLeaderPreference,
      .setPromotionPolicy, .claim:
      1
    }
  }
}

extension MembershipChange {
  /// Whether it is about routes, so that it needs some and is bound by how many one command changes.
  package var isAboutRoutes: Bool {
    switch self {
    case .promote, .sweep: true
    case .enable, .join, .leave, .report, .declareLost, .beginReturn, .setHomes,
      .setLeaderPreference, .setPromotionPolicy, .claim:
      false
    }
  }
}

/// In whose name a command comes: a region and its epoch as the caller knows it. One that was lost
/// since cannot write.
package struct RegionOrigin: Hashable, Sendable {
  package var region: Region
  package var epoch: UInt64

  package init(region: Region, epoch: UInt64) {
    self.region = region
    self.epoch = epoch
  }
}
