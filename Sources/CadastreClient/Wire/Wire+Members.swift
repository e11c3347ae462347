import CadastreProtocol
import Catalog
import Foundation
import StateMachines
import SwiftProtobuf

/// - Throws: ``MalformedMessage`` when the field is no region's name.
package func region(_ field: String, _ name: String) throws(MalformedMessage) -> Region {
  do {
    return try Region(name)
  } catch {
    throw MalformedMessage("\(field): \(error)")
  }
}

/// - Throws: ``MalformedMessage`` when the field is no member's name.
func member(_ field: String, _ name: String) throws(MalformedMessage) -> MemberName {
  do {
    return try MemberName(name)
  } catch {
    throw MalformedMessage("\(field): \(error)")
  }
}

private func capabilities(_ bits: UInt32) throws(MalformedMessage) -> CapabilitySet {
  guard let bits = UInt16(exactly: bits) else {
    throw MalformedMessage("capabilities: there are 16 bits of them, not \(bits)")
  }
  return CapabilitySet(rawValue: bits)
}

extension Cadastre_V1_MembershipChangeRequest: WireCommand {
  package init(_ header: Wire.CommandHeader, _ change: MembershipChange) {
    self.init()
    self.header = header
    switch change {
    case .enable(let capability): enable.name = capability.name
    case .join(let name, let address, let region, let capabilities):
      join = .with {
        $0.name = name.name
        $0.address = address
        $0.region = region.name
        $0.capabilities = UInt32(capabilities.rawValue)
      }
    case .leave(let name): leave.name = name.name
    case .report(let reporter, let region, let isSilent):
      report = .with {
        $0.member = reporter.name
        $0.region = region.name
        $0.silent = isSilent
      }
    case .declareLost(let region): declareLost.region = region.name
    case .sweep(let region, let epoch, let limit):
      sweep = .with {
        $0.region = region.name
        $0.epoch = epoch
        $0.limit = UInt64(clamping: limit)
      }
    case .beginReturn(let region): beginReturn.region = region.name
    case .setHomes(let groups, let region, let evenIfViolating):
      setHomes = .with {
        $0.groupIds = groups.map(\.rawValue)
        $0.region = region?.name ?? ""
        $0.evenIfViolating = evenIfViolating
      }
    case .setLeaderPreference(let region, let order):
      setPreference = .with {
        $0.region = region.name
        $0.order = order.map(\.name)
      }
    case .setPromotionPolicy(let name, let span):
      setPolicy = .with {
        $0.name = name.name
        if let span { $0.span = Cadastre_V1_PolicySpan(span) }
      }
    case .promote(let step):
      promote = .with {
        $0.region = step.region.name
        $0.epoch = step.epoch
        $0.plan = Data(step.plan.bytes)
        $0.version = step.version.rawValue
        $0.step = step.step
        $0.steps = step.steps
        $0.moves = step.moves.map { move in
          .with {
            $0.fromGroupID = move.from.rawValue
            $0.toGroupID = move.to.rawValue
            $0.routeIds = move.routes.map(\.rawValue)
          }
        }
      }
    case .claim(let claim, let isReplacing):
      self.claim = .with {
        $0.claim = Cadastre_V1_RegionClaim(claim)
        $0.replacing = isReplacing
      }
    }
  }

  package func change() throws(MalformedMessage) -> RouteChange {
    .membership(try membershipChange())
  }

  private func membershipChange() throws(MalformedMessage) -> MembershipChange {
    switch kind {
    case .enable(let enable):
      guard let capability = Capability(name: enable.name) else {
        throw MalformedMessage("enable.name: this node knows no capability \"\(enable.name)\"")
      }
      return .enable(capability)
    case .join(let join):
      return .join(
        try member("join.name", join.name), address: join.address,
        region: try region("join.region", join.region),
        capabilities: try capabilities(join.capabilities))
    case .leave(let leave):
      return .leave(try member("leave.name", leave.name))
    case .report(let report):
      return .report(
        by: try member("report.member", report.member),
        of: try region("report.region", report.region), isSilent: report.silent)
    case .declareLost(let lost):
      return .declareLost(try region("declare_lost.region", lost.region))
    case .sweep(let sweep):
      guard sweep.limit > 0, sweep.limit <= UInt64(RouteChange.maximumCount) else {
        throw MalformedMessage("sweep.limit: give 1 to \(RouteChange.maximumCount)")
      }
      return .sweep(
        try region("sweep.region", sweep.region), epoch: sweep.epoch, limit: Int(sweep.limit))
    case .beginReturn(let back):
      return .beginReturn(try region("begin_return.region", back.region))
    case .setHomes(let homes):
      return .setHomes(
        homes.groupIds.map(GroupID.init),
        homes.region.isEmpty ? nil : try region("set_homes.region", homes.region),
        evenIfViolating: homes.evenIfViolating)
    case .setPreference(let preference):
      var order: [Region] = []
      for name in preference.order { order.append(try region("set_preference.order", name)) }
      return .setLeaderPreference(try region("set_preference.region", preference.region), order)
    case .setPolicy(let policy):
      return .setPromotionPolicy(
        try member("set_policy.name", policy.name),
        policy.hasSpan ? try policy.span.value() : nil)
    case .promote(let step):
      return .promote(
        PromotionStep(
          region: try region("promote.region", step.region), epoch: step.epoch,
          plan: try fixed("promote.plan", step.plan), version: CatalogVersion(step.version),
          step: step.step, steps: step.steps,
          moves: step.moves.map { move in
            StateMachines.PromotionMove(
              from: GroupID(move.fromGroupID), to: GroupID(move.toGroupID),
              routes: move.routeIds.map(RouteID.init))
          }))
    case .claim(let claim):
      return .claim(try claim.claim.value(), replacing: claim.replacing)
    case nil:
      throw MalformedMessage("change: say what is to change")
    }
  }
}

extension Cadastre_V1_RegionClaim {
  fileprivate init(_ claim: RegionClaim) {
    self.init()
    region = claim.region.name
    epoch = claim.epoch
    member = claim.member.name
    number = claim.number
    limitMs = claim.limit.rawValue
  }

  fileprivate func value() throws(MalformedMessage) -> RegionClaim {
    guard limitMs <= Milliseconds.maximum.rawValue else {
      throw MalformedMessage("claim.limit_ms: at most \(Milliseconds.maximum.rawValue)")
    }
    return RegionClaim(
      region: try CadastreClient.region("claim.region", region), epoch: epoch,
      member: try CadastreClient.member("claim.member", member), number: number,
      limit: Milliseconds(limitMs))
  }
}

extension Cadastre_V1_PolicySpan {
  package init(_ span: Catalog.KeySpan) {
    self.init()
    lower = Data(span.lower.bytes)
    if let upper = span.upper { self.upper = Data(upper.bytes) }
  }

  package func value() throws(MalformedMessage) -> Catalog.KeySpan {
    let lower = try key("span.lower", lower)
    let upper = hasUpper ? try key("span.upper", self.upper) : nil
    do {
      return try Catalog.KeySpan(lower, upper)
    } catch {
      throw MalformedMessage("span: \(error)")
    }
  }
}

extension Cadastre_V1_ListMembersResponse {
  package init(_ overview: MembershipOverview) {
    self.init()
    version = overview.version.rawValue
    position = overview.position.rawValue
    capabilities = overview.capabilities.sorted { $0.key < $1.key }.map { bit, name in
      .with {
        $0.bit = UInt32(bit)
        $0.name = name
      }
    }
    members = overview.members.map { member in
      .with {
        $0.name = member.name.name
        $0.address = member.address
        $0.region = member.region.name
        $0.capabilities = UInt32(member.capabilities.rawValue)
        $0.status = UInt32(member.status.rawValue)
      }
    }
    regions = overview.regions.map { region in
      .with {
        $0.region = region.region.name
        $0.status = UInt32(region.status.rawValue)
        $0.epoch = region.epoch
        $0.silentTo = region.silentTo.map(\.name)
        $0.leaderPreference = region.leaderPreference.map(\.name)
        $0.swept = region.sweep.isDone
        $0.failed = region.failed
        $0.promoted = region.promoted
        $0.returned = region.returned
        if let recovery = region.recovery {
          $0.plan = Data(recovery.plan.bytes)
          $0.step = recovery.step
          $0.steps = recovery.steps
        }
        $0.groupCount = overview.groupCounts[region.region] ?? 0
      }
    }
    policies = overview.policies.map { policy in
      .with {
        $0.name = policy.name.name
        $0.span = Cadastre_V1_PolicySpan(policy.span)
      }
    }
    homeCount = overview.homeCount
    claims = overview.claims.map { Cadastre_V1_RegionClaim($0) }
  }

  package func value() throws(MalformedMessage) -> MembershipOverview {
    var overview = MembershipOverview(
      version: CatalogVersion(version), position: LogPosition(position), capabilities: [:],
      members: [], regions: [], groupCounts: [:], policies: [], homeCount: homeCount)
    for capability in capabilities {
      overview.capabilities[UInt8(truncatingIfNeeded: capability.bit)] = capability.name
    }
    for message in members { overview.members.append(try member(of: message)) }
    for message in regions {
      let place = try standing(of: message)
      overview.regions.append(place)
      overview.groupCounts[place.region] = message.groupCount
    }
    for policy in policies {
      overview.policies.append(
        (try member("policies.name", policy.name), try policy.span.value()))
    }
    for claim in claims { overview.claims.append(try claim.value()) }
    return overview
  }
}

private func member(
  of message: Cadastre_V1_MemberInfo
) throws(MalformedMessage) -> Member {
  guard let status = UInt8(exactly: message.status).flatMap(MemberStatus.init(rawValue:)) else {
    throw MalformedMessage("members.status: there is no status \(message.status)")
  }
  return Member(
    name: try member("members.name", message.name), address: message.address,
    region: try region("members.region", message.region),
    capabilities: try capabilities(message.capabilities), status: status)
}

private func standing(
  of message: Cadastre_V1_RegionInfo
) throws(MalformedMessage) -> RegionStanding {
  guard let status = UInt8(exactly: message.status).flatMap(RegionStatus.init(rawValue:)) else {
    throw MalformedMessage("regions.status: there is no status \(message.status)")
  }
  var standing = RegionStanding(try region("regions.region", message.region))
  standing.status = status
  standing.epoch = message.epoch
  for name in message.silentTo { standing.silentTo.append(try member("regions.silent_to", name)) }
  for name in message.leaderPreference {
    standing.leaderPreference.append(try region("regions.leader_preference", name))
  }
  standing.sweep.isDone = message.swept
  standing.failed = message.failed
  standing.promoted = message.promoted
  standing.returned = message.returned
  if !message.plan.isEmpty {
    standing.recovery = RecoveryProgress(
      plan: try fixed("regions.plan", message.plan), step: message.step, steps: message.steps)
  }
  return standing
}

extension Cadastre_V1_CheckPlacementResponse {
  package init(_ report: PlacementReport) {
    self.init()
    version = report.version.rawValue
    routeCount = report.routeCount
    violationCount = report.violationCount
    violations = report.listed.map { violation in
      .with {
        $0.route = Cadastre_V1_Route(violation.route)
        $0.home = violation.home.name
        $0.problem = violation.problem.rawValue
      }
    }
  }

  package func value() throws(MalformedMessage) -> PlacementReport {
    var listed: [PlacementViolation] = []
    for violation in violations {
      guard let problem = PlacementViolation.Problem(rawValue: violation.problem) else {
        throw MalformedMessage("violations.problem: there is no problem \(violation.problem)")
      }
      listed.append(
        PlacementViolation(
          route: try violation.route.value(), home: try region("violations.home", violation.home),
          problem: problem))
    }
    guard violationCount >= UInt64(listed.count) else {
      throw MalformedMessage("violation_count: more are listed")
    }
    return PlacementReport(
      version: CatalogVersion(version), routeCount: routeCount, violationCount: violationCount,
      listed: listed)
  }
}
