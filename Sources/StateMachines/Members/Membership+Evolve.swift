import Catalog

/// Why an event does not fit a membership.
package enum MembershipError: Error, Hashable, Sendable {
  case alreadyEnabled(bit: UInt8)
  case noSuchMember(MemberName)
  /// The member is not active, or the region not in the status, that the event speaks of.
  case wrongStatus(String)
  case noSuchRegion(Region)
  case wrongEpoch(Region, expected: UInt64, found: UInt64)
  /// The event changes nothing, where an event says that something changed.
  case unchanged(String)
  case tooMany(String)
  /// A member judges its own region.
  case inside(MemberName, Region)
  /// A sweep, or a recovery, that does not go on from where it was.
  case outOfOrder(Region)
}

extension MembershipError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .alreadyEnabled(let bit): "capability \(bit) is enabled already"
    case .noSuchMember(let member): "there is no member \(member)"
    case .wrongStatus(let name): "\(name) has another status than that needs"
    case .noSuchRegion(let region): "there is no region \(region)"
    case .wrongEpoch(let region, let expected, let found):
      "region \(region) has the epoch \(expected), not \(found)"
    case .unchanged(let what): "nothing changes for \(what)"
    case .tooMany(let what): "there are too many \(what)"
    case .inside(let member, let region): "member \(member) is in region \(region) itself"
    case .outOfOrder(let region): "region \(region) is not gone through in order"
    }
  }
}

extension Membership {
  /// Folds an event. All or nothing. `store` is where the homes of groups live.
  ///
  /// - Throws: ``MembershipError`` when the event does not fit.
  /// - Complexity: O(*m*) in the number of members and regions; O(*g* log *n*) for *g* homes.
  mutating func apply(
    _ event: MembershipEvent, in store: IndexStore
  ) throws(MembershipError) {
    try edit(in: store) { editor throws(MembershipError) in try editor.apply(event) }
  }
}

/// The event that does not fit, by its index in the entry, and why.
package struct MembershipEventError: Error {
  let index: Int
  let error: MembershipError
}

extension Membership {
  /// Folds those of an entry's events that are about it, in their order. `store` is where the homes of
  /// groups live.
  package mutating func fold(
    _ events: [Event], in store: IndexStore
  ) throws(MembershipEventError) {
    // An entry of many routes has its one event of members at the end: nothing is copied for others.
    for index in events.indices {
      guard case .membership(let event) = events[index] else { continue }
      do {
        try apply(event, in: store)
      } catch {
        throw MembershipEventError(index: index, error: error)
      }
    }
  }
}

extension Event {
  /// Whether the event is about members, regions or homes.
  package var changesMembership: Bool {
    if case .membership = self { true } else { false }
  }
}

extension Membership.Editor {
  fileprivate mutating func apply(_ event: MembershipEvent) throws(MembershipError) {
    switch event {
    case .capabilityEnabled(let bit, let name):
      guard capabilities[bit] == nil else { throw .alreadyEnabled(bit: bit) }
      enable(bit: bit, name: name)
    case .memberJoined(let name, let address, let region, let capabilities):
      try join(name, address, region, capabilities)
    case .memberLeft(let name):
      guard var member = self[member: name] else { throw .noSuchMember(name) }
      guard member.status != .left else { throw .wrongStatus(name.name) }
      forgetReports(by: name)
      member.status = .left
      self[member: name] = member
    case .silenceReported(let reporter, let region, let isSilent):
      try report(by: reporter, of: region, isSilent)
    case .regionSuspected(let region):
      try change(region, from: [.up]) { $0.status = .suspected }
    case .regionCleared(let region):
      try change(region, from: [.suspected]) { $0.status = .up }
    case .regionLost(let region, let epoch):
      try lose(region, epoch)
    case .regionReturning(let region, let epoch):
      try change(region, from: [.lost], epoch: epoch) { record in
        record.status = .returning
        record.sweep = RegionSweep()
      }
    case .regionSwept(let region, let epoch, let group, let route, let changed, let isLast):
      try sweep(region, epoch, group, route, changed, isLast)
    case .groupsHomed(let groups, let region):
      if let region { try make(region) }
      for group in groups {
        guard home(of: group) != region else { throw .unchanged("group \(group)") }
        setHome(of: group, to: region)
      }
    case .leaderPreferenceSet(let region, let order):
      try make(region)
      guard self[region: region]?.leaderPreference != order else { throw .unchanged(region.name) }
      self[region: region]?.leaderPreference = order
    case .promotionPolicySet(let name, let span):
      guard self.span(of: name) != span else { throw .unchanged(name.name) }
      guard span == nil || self.span(of: name) != nil || policyCount < Membership.maximumPolicyCount
      else { throw .tooMany("policies") }
      setPolicy(name, to: span)
    case .recoveryAdvanced(let region, let epoch, let plan, let step, let steps, let promoted):
      try change(region, from: [.lost], epoch: epoch) { record throws(MembershipError) in
        let next = record.recovery.flatMap { $0.plan == plan ? $0.step : nil } ?? 0
        guard step == next, step < steps else { throw .outOfOrder(region) }
        record.recovery = RecoveryProgress(plan: plan, step: step + 1, steps: steps)
        record.promoted &+= promoted
      }
    case .regionClaimed(let claim):
      try make(claim.region)
      let epoch = self[region: claim.region]?.epoch ?? 0
      guard claim.epoch == epoch else {
        throw .wrongEpoch(claim.region, expected: epoch, found: claim.epoch)
      }
      let last = self.claim(claim.region)?.number ?? 0
      guard last < .max, claim.number == last + 1 else { throw .outOfOrder(claim.region) }
      put(claim)
    }
  }

  private mutating func change(
    _ region: Region, from statuses: Set<RegionStatus>, epoch: UInt64? = nil,
    _ body: (inout RegionStanding) throws(MembershipError) -> Void
  ) throws(MembershipError) {
    guard var record = self[region: region] else { throw .noSuchRegion(region) }
    guard statuses.contains(record.status) else { throw .wrongStatus(region.name) }
    if let epoch, epoch != record.epoch {
      throw .wrongEpoch(region, expected: record.epoch, found: epoch)
    }
    try body(&record)
    self[region: region] = record
  }

  private mutating func make(_ region: Region) throws(MembershipError) {
    guard self[region: region] == nil else { return }
    guard regionCount < Membership.maximumRegionCount else { throw .tooMany("regions") }
    self[region: region] = RegionStanding(region)
  }

  private mutating func join(
    _ name: MemberName, _ address: String, _ region: Region, _ capabilities: CapabilitySet
  ) throws(MembershipError) {
    guard self[member: name] != nil || memberCount < Membership.maximumMemberCount else {
      throw .tooMany("members")
    }
    try make(region)
    let isFenced = self[region: region]?.status.isFenced ?? false
    forgetReports(by: name)
    self[member: name] = Member(
      name: name, address: address, region: region, capabilities: capabilities,
      status: isFenced ? .suspected : .active)
  }

  private mutating func forgetReports(by name: MemberName) {
    for region in regionNames {
      if let index = self[region: region]?.silentTo.firstIndex(of: name) {
        self[region: region]?.silentTo.remove(at: index)
      }
    }
  }

  private mutating func report(
    by reporter: MemberName, of region: Region, _ isSilent: Bool
  ) throws(MembershipError) {
    guard let member = self[member: reporter] else { throw .noSuchMember(reporter) }
    guard member.status == .active else { throw .wrongStatus(reporter.name) }
    guard member.region != region else { throw .inside(reporter, region) }
    guard var record = self[region: region] else { throw .noSuchRegion(region) }
    guard record.silentTo.contains(reporter) != isSilent else { throw .unchanged(region.name) }
    if isSilent {
      record.silentTo.append(reporter)
      record.silentTo.sort()
    } else {
      record.silentTo.removeAll { $0 == reporter }
    }
    self[region: region] = record
  }

  private mutating func lose(_ region: Region, _ epoch: UInt64) throws(MembershipError) {
    try change(region, from: [.up, .suspected]) { record throws(MembershipError) in
      guard record.epoch < .max, epoch == record.epoch + 1 else {
        throw .wrongEpoch(region, expected: record.epoch &+ 1, found: epoch)
      }
      record.status = .lost
      record.epoch = epoch
      record.sweep = RegionSweep()
      (record.failed, record.promoted, record.returned) = (0, 0, 0)
      record.recovery = nil
    }
    // Who is not there judges nobody.
    for name in memberNames {
      guard let member = self[member: name], member.region == region, member.status == .active
      else { continue }
      self[member: name]?.status = .suspected
      forgetReports(by: name)
    }
  }

  private mutating func sweep(
    _ region: Region, _ epoch: UInt64, _ group: GroupID, _ route: RouteID, _ changed: UInt64,
    _ isLast: Bool
  ) throws(MembershipError) {
    var isBack = false
    try change(region, from: [.lost, .returning], epoch: epoch) {
      record throws(MembershipError) in
      let before = (record.sweep.group.rawValue, record.sweep.route.rawValue)
      guard !record.sweep.isDone, (group.rawValue, route.rawValue) >= before else {
        throw .outOfOrder(region)
      }
      (record.sweep.group, record.sweep.route, record.sweep.isDone) = (group, route, isLast)
      if record.status == .lost {
        record.failed &+= changed
      } else {
        record.returned &+= changed
        guard isLast else { return }
        isBack = true
        record.status = .up
        record.silentTo = []
        record.sweep = RegionSweep()
        record.recovery = nil
      }
    }
    guard isBack else { return }
    for name in memberNames where self[member: name]?.region == region {
      if self[member: name]?.status == .suspected { self[member: name]?.status = .active }
    }
  }
}
