import Catalog
import StateMachines
import TestSupport
import Testing

/// Plans for lost regions: where routes go, and what keeps a plan from being carried out.
@Suite struct RecoveryPlanTests {
  private let asia: Region
  private let europe: Region
  private let america: Region

  init() throws {
    asia = try Region("asia")
    europe = try Region("europe")
    america = try Region("america")
  }

  /// Eight routes; the even ones in group 1, at home in asia, of which some may be in few regions.
  private func lost(_ changes: [MembershipChange] = []) throws -> TestCatalog {
    var catalog = try TestCatalog(starts: ["b", "c", "d", "e", "f", "g", "h"], group: 9)
    try catalog.perform(.move([2, 4, 6, 8].map { RouteID($0) }, to: GroupID(1)))
    try catalog.perform(.setAllowedRegions([RouteID(4)], to: [asia, america]))
    try catalog.perform(.setAllowedRegions([RouteID(6)], to: [asia]))
    try catalog.perform(.membership(.enable(.members)))
    for (group, region) in [(1, asia), (2, europe), (3, europe), (4, america)] {
      try catalog.perform(
        .membership(.setHomes([GroupID(UInt64(group))], region, evenIfViolating: false)))
    }
    for change in changes { try catalog.perform(.membership(change)) }
    try catalog.perform(.membership(.declareLost(asia)))
    try catalog.perform(.membership(.sweep(asia, epoch: 1, limit: 100)))
    return catalog
  }

  private func targets(_ plan: RecoveryPlan) -> [UInt64: UInt64] {
    var targets: [UInt64: UInt64] = [:]
    for move in plan.steps.joined() {
      for id in move.routes.joined() { targets[id] = move.to.rawValue }
    }
    return targets
  }

  /// What is known of the lost region's own stream is told, and does not make it another plan.
  @Test func aPlanSaysHowFarTheRegionsStreamIsKnown() throws {
    let catalog = try lost()
    let known = RecoveryPlan.StreamExtent(
      of: asia, position: LogPosition(41), time: HybridTimestamp(milliseconds: 7),
      heard: LogPosition(44))
    let plan = try catalog.state.recoveryPlan(for: asia, stream: known)
    #expect(plan.streams[1] == known && known.name == "region asia")
    let blind = try catalog.state.recoveryPlan(for: asia)
    #expect(blind.streams[1].position == nil && blind.name == plan.name)
  }

  @Test func routesGoWhereTheyAreAllowedBestFirst() throws {
    let catalog = try lost([.setLeaderPreference(asia, [asia, europe])])
    let plan = try catalog.state.recoveryPlan(for: asia)
    #expect(targets(plan) == [2: 2, 4: 4, 8: 2])
    #expect(plan.stranded.map(\.route) == [RouteID(6)] && plan.strandedCount == 1)
    #expect(plan.routeCount == 3 && plan.epoch == 1)
    #expect(plan.streams.map(\.name) == ["catalog", "region asia"])
    #expect(plan.streams[0].position == catalog.state.appliedThrough)
    // Without a preference the regions come in the order of their names.
    let other = try lost()
    #expect(targets(try other.state.recoveryPlan(for: asia)) == [2: 4, 4: 4, 8: 4])
  }

  @Test func aSpanNarrowsThePlan() throws {
    let catalog = try lost()
    let span = try KeySpan(Key("b"), Key("e"))
    #expect(targets(try catalog.state.recoveryPlan(for: asia, within: [span])) == [2: 4, 4: 4])
    #expect(try catalog.state.recoveryPlan(for: asia, within: []).steps.isEmpty)
  }

  @Test func aPlanIsCarriedOutOnceAndNamesWhatItSays() throws {
    var catalog = try lost()
    var plan = try catalog.state.recoveryPlan(for: asia)
    let name = plan.name
    let step = plan.step(0, named: name)
    let version = catalog.state.version
    #expect(try catalog.perform(.membership(.promote(step))).count == 7)
    #expect(catalog.state.version == version.next)
    #expect(try catalog.perform(.membership(.promote(step))).isEmpty)
    #expect(catalog.route("b").group == GroupID(4) && catalog.route("b").state == .active)
    #expect(catalog.route("f").state == .softFailed)
    #expect(catalog.state.placementViolations().count == 0)
    plan.epoch = 2
    #expect(plan.name != name)
  }

  @Test func nothingIsPlannedForARegionThatIsThere() throws {
    let catalog = try lost()
    #expect(throws: MembershipRefusal.regionNotLost(europe, .up)) {
      try catalog.state.recoveryPlan(for: europe)
    }
    var other = try lost()
    try other.perform(.membership(.beginReturn(asia)))
    #expect(throws: MembershipRefusal.regionNotLost(asia, .returning)) {
      try other.state.recoveryPlan(for: asia)
    }
  }

  /// What was made from an older state is refused, and names what changed.
  @Test func aPlanThatIsOldIsRefused() throws {
    var catalog = try lost()
    let plan = try catalog.state.recoveryPlan(for: asia)
    // Somebody moves a route by hand meanwhile.
    try catalog.perform(.move([RouteID(2)], to: GroupID(3)))
    let refusal = catalog.refusal(of: .membership(.promote(plan.step(0, named: plan.name))))
    guard case .membership(.planOutdated(asia, let routes, 1))? = refusal else {
      Issue.record("\(String(describing: refusal))")
      return
    }
    #expect(routes.map(\.id) == [RouteID(2)])
    try catalog.perform(.membership(.beginReturn(asia)))
    try catalog.perform(.membership(.sweep(asia, epoch: 1, limit: 100)))
    try catalog.perform(.membership(.declareLost(asia)))
    #expect(
      catalog.refusal(of: .membership(.promote(plan.step(0, named: plan.name))))
        == .membership(.wrongEpoch(asia, named: 1, current: 2)))
  }
}
