import Catalog

/// What there is to tell of a catalog's members and regions without its routes and homes.
package struct MembershipOverview: Sendable {
  package var version: CatalogVersion
  package var position: LogPosition
  /// The names of the capabilities that entries may need, by bit.
  package var capabilities: [UInt8: String]
  /// By name.
  package var members: [Member]
  /// By name. How far a sweep has come they need not know, only whether it is done.
  package var regions: [RegionStanding]
  /// How many groups are at home in a region.
  package var groupCounts: [Region: UInt64]
  /// By name.
  package var policies: [(name: PolicyName, span: KeySpan)]
  /// How many groups have a home.
  package var homeCount: UInt64
  /// Who leads the streams of regions, by region.
  package var claims: [RegionClaim]

  package init(
    version: CatalogVersion, position: LogPosition, capabilities: [UInt8: String],
    members: [Member], regions: [RegionStanding], groupCounts: [Region: UInt64],
    policies: [(name: PolicyName, span: KeySpan)], homeCount: UInt64, claims: [RegionClaim] = []
  ) {
    self.version = version
    self.position = position
    self.capabilities = capabilities
    self.members = members
    self.regions = regions
    self.groupCounts = groupCounts
    self.policies = policies
    self.homeCount = homeCount
    self.claims = claims
  }

  /// O(*n*) for *n* groups with homes.
  package init(_ state: CatalogState) {
    let membership = state.membership
    var counts: [Region: UInt64] = [:]
    for region in membership.regions {
      counts[region.region] = UInt64(membership.groups(in: region.region).count)
    }
    self.init(
      version: state.version, position: state.appliedThrough,
      capabilities: membership.capabilities, members: membership.members,
      regions: membership.regions, groupCounts: counts, policies: membership.policies,
      homeCount: UInt64(membership.homeCount), claims: membership.claims)
  }
}

/// How many routes are not where they should be, and the first of them.
package struct PlacementReport: Hashable, Sendable {
  package var version: CatalogVersion
  package var routeCount: UInt64
  package var violationCount: UInt64
  /// In key order.
  package var listed: [PlacementViolation]

  package init(
    version: CatalogVersion, routeCount: UInt64, violationCount: UInt64,
    listed: [PlacementViolation]
  ) {
    self.version = version
    self.routeCount = routeCount
    self.violationCount = violationCount
    self.listed = listed
  }

  /// Lists at most `limit`. O(*n* log *g*) for *n* routes and *g* homes.
  package init(_ state: CatalogState, limit: Int) {
    let (listed, count, routeCount) = state.placementViolations(limit: limit)
    self.init(
      version: state.version, routeCount: UInt64(routeCount), violationCount: UInt64(count),
      listed: listed)
  }
}
