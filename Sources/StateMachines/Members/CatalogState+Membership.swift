import Catalog

extension CatalogState {
  /// What is to happen for a change of members or regions.
  func decide(
    _ change: MembershipChange, expected: CatalogVersion?
  ) throws(Refusal) -> [Event] {
    do {
      if case .enable(let capability) = change { return try enable(capability) }
      try need(.members)
      switch change {
      case .enable: return []
      case .join(let name, let address, let region, let capabilities):
        return try join(name, address, region, capabilities)
      case .leave(let name):
        guard let member = membership.member(name) else {
          throw MembershipRefusal.noSuchMember(name)
        }
        return member.status == .left ? [] : judged(after: [.memberLeft(name)])
      case .report(let reporter, let region, let isSilent):
        return try report(reporter, region, isSilent)
      case .declareLost(let region):
        let record = try known(region)
        guard !record.status.isFenced else { return [] }
        return judged(after: [.regionLost(region, epoch: record.epoch + 1)])
      case .sweep(let region, let epoch, let limit):
        return try sweep(region, epoch, limit)
      case .beginReturn(let region):
        let record = try known(region)
        guard record.status != .returning, record.status != .up else { return [] }
        guard record.status == .lost else {
          throw MembershipRefusal.regionNotLost(region, record.status)
        }
        return [.membership(.regionReturning(region, epoch: record.epoch))]
      case .setHomes(let groups, let region, let evenIfViolating):
        return try setHomes(groups, region, evenIfViolating)
      case .setLeaderPreference(let region, let order):
        return try setPreference(region, order)
      case .setPromotionPolicy(let name, let span):
        return try setPolicy(name, span)
      case .promote(let step):
        return try promote(step)
      case .claim(let claim, let isReplacing):
        return try self.claim(claim, isReplacing)
      }
    } catch let error as MembershipRefusal {
      throw .membership(error)
    } catch let error as Refusal {
      throw error
    } catch {
      preconditionFailure("an error of another kind: \(error)")
    }
  }

  /// That entries may need a capability.
  package func need(_ capability: Capability) throws(MembershipRefusal) {
    guard membership.isEnabled(capability) else { throw .notEnabled(capability) }
  }

  func known(_ region: Region) throws(MembershipRefusal) -> RegionStanding {
    guard let record = membership.region(region) else { throw .noSuchRegion(region) }
    return record
  }

  private func enable(_ capability: Capability) throws(MembershipRefusal) -> [Event] {
    guard !membership.isEnabled(capability) else { return [] }
    if capability != .members {
      try need(.members)
      let active = membership.members.filter { $0.status == .active }
      guard !active.isEmpty else { throw .noMembers(capability) }
      let lacking = active.filter { !$0.capabilities.contains(CapabilitySet(capability)) }
      guard lacking.isEmpty else {
        throw .lackedByMembers(
          capability, lacking.prefix(MembershipRefusal.maximumNamedCount).map(\.name),
          count: lacking.count)
      }
    }
    return [.membership(.capabilityEnabled(bit: capability.bit, name: capability.name))]
  }

  private func join(
    _ name: MemberName, _ address: String, _ region: Region, _ capabilities: CapabilitySet
  ) throws(MembershipRefusal) -> [Event] {
    guard address.utf8.count <= MembershipEvent.maximumAddressLength else {
      throw .addressTooLong(byteCount: address.utf8.count)
    }
    let lacking = membership.enabledCapabilities.subtracting(capabilities)
    guard lacking.isEmpty else {
      throw .memberLacks(name, lacking.names(membership.capabilities))
    }
    let old = membership.member(name)
    if let old, old.address == address, old.region == region, old.capabilities == capabilities,
      old.status != .left
    {
      return []
    }
    guard old != nil || membership.members.count < Membership.maximumMemberCount else {
      throw .tooMany("members", maximum: Membership.maximumMemberCount)
    }
    try checkRoom(for: region)
    return judged(after: [
      .memberJoined(name, address: address, region: region, capabilities: capabilities)
    ])
  }

  private func checkRoom(for region: Region) throws(MembershipRefusal) {
    guard
      membership.region(region) != nil
        || membership.regions.count < Membership.maximumRegionCount
    else { throw .tooMany("regions", maximum: Membership.maximumRegionCount) }
  }

  private func report(
    _ reporter: MemberName, _ region: Region, _ isSilent: Bool
  ) throws(MembershipRefusal) -> [Event] {
    guard let member = membership.member(reporter) else { throw .noSuchMember(reporter) }
    guard member.status == .active else { throw .memberNotActive(reporter, member.status) }
    guard member.region != region else { throw .reporterInside(reporter, region) }
    let record = try known(region)
    guard record.silentTo.contains(reporter) != isSilent else { return [] }
    return judged(after: [.silenceReported(by: reporter, of: region, isSilent: isSilent)])
  }

  /// The events, and what follows from them for regions: one that some member reports silent is
  /// suspected, one that most of the active members outside it do is lost. Each loss takes judges
  /// away, so it is looked again until nothing follows.
  private func judged(after events: [MembershipEvent]) -> [Event] {
    var events = events
    var next = membership
    func fold(_ event: MembershipEvent) {
      do {
        try next.apply(event, in: routes.store)
      } catch {
        preconditionFailure("\(event) was decided and does not apply: \(error)")
      }
    }
    for event in events { fold(event) }
    while let verdict = next.verdict() {
      fold(verdict)
      events.append(verdict)
    }
    return events.map { .membership($0) }
  }

  private func setHomes(
    _ groups: [GroupID], _ region: Region?, _ evenIfViolating: Bool
  ) throws(MembershipRefusal) -> [Event] {
    let changed = groups.sortedOnce().filter { membership.home(of: $0) != region }
    guard !changed.isEmpty else { return [] }
    if let region {
      try checkRoom(for: region)
      try checkUp(region)
      if !evenIfViolating {
        for group in changed { try checkRoutes(of: group, at: region) }
      }
    }
    return [.membership(.groupsHomed(changed, in: region))]
  }

  private func setPreference(
    _ region: Region, _ order: [Region]
  ) throws(MembershipRefusal) -> [Event] {
    guard membership.region(region)?.leaderPreference ?? [] != order else { return [] }
    try checkRoom(for: region)
    guard Set(order).count == order.count, order.count <= Region.maximumCount else {
      throw .tooMany("regions in an order, each once", maximum: Region.maximumCount)
    }
    return [.membership(.leaderPreferenceSet(region, order))]
  }

  private func setPolicy(
    _ name: PolicyName, _ span: KeySpan?
  ) throws(MembershipRefusal) -> [Event] {
    let policies = membership.policies
    guard policies.first(where: { $0.name == name })?.span != span else { return [] }
    guard span == nil || policies.count < Membership.maximumPolicyCount else {
      throw .tooMany("policies", maximum: Membership.maximumPolicyCount)
    }
    return [.membership(.promotionPolicySet(name, span))]
  }

  private func claim(
    _ claim: RegionClaim, _ isReplacing: Bool
  ) throws(MembershipRefusal) -> [Event] {
    try need(.regionClaims)
    try checkRoom(for: claim.region)
    let epoch = membership.region(claim.region)?.epoch ?? 0
    guard claim.epoch == epoch else {
      throw .wrongEpoch(claim.region, named: claim.epoch, current: epoch)
    }
    let last = membership.claim(claim.region)
    if let last, last.epoch == epoch, last.member != claim.member, !isReplacing {
      throw .regionClaimed(last)
    }
    guard claim.number > 0, claim.number - 1 == last?.number ?? 0 else {
      throw .claimOutOfOrder(claim, last: last?.number ?? 0)
    }
    return [.membership(.regionClaimed(claim))]
  }
}

extension Membership {
  /// The next thing that follows from what members report; nil when nothing does.
  fileprivate func verdict() -> MembershipEvent? {
    for record in regions where !record.status.isFenced {
      let judges = judges(of: record.region).count
      if record.silentTo.count * 2 > judges, judges > 0 {
        return record.status == .up
          ? .regionSuspected(record.region)
          : .regionLost(record.region, epoch: record.epoch + 1)
      }
      if record.status == .up, !record.silentTo.isEmpty { return .regionSuspected(record.region) }
      if record.status == .suspected, record.silentTo.isEmpty {
        return .regionCleared(record.region)
      }
    }
    return nil
  }
}
