import Catalog
import StateMachines
import TestSupport
import Testing

/// The dumb twin of a membership: dictionaries of plain values, and every question a scan.
struct MembershipTwin {
  /// What a route is, as far as members matter.
  struct Place: Equatable {
    var id: RouteID
    var group: GroupID
    var state: RouteState

    init(_ route: Route) { (id, group, state) = (route.id, route.group, route.state) }
  }

  struct Area {
    var status = "up"
    var epoch: UInt64 = 0
    var silentTo: Set<String> = []
    var order: [Region] = []
    /// The routes that the sweep has yet to look at; nil when it is over.
    var rest: [RouteID]?
    var failed = 0
    var promoted = 0
    var returned = 0
    var plan: EntryHash?
    var step: UInt64 = 0
    var steps: UInt64 = 0
  }

  var members: [String: Member] = [:]
  var areas: [Region: Area] = [:]
  var homes: [GroupID: Region] = [:]
  var policies: [String: KeySpan] = [:]
  var claims: [Region: RegionClaim] = [:]
  var places: [Place] = []

  func isFenced(_ region: Region) -> Bool {
    ["lost", "returning"].contains(areas[region]?.status)
  }

  /// "done", "changed", or the code of why not.
  mutating func perform(_ change: MembershipChange, routes: [Route]) -> String {
    places = routes.map { Place($0) }
    switch change {
    case .enable:
      return "done"
    case .join(let name, let address, let region, let capabilities):
      guard capabilities.contains(.members) else { return "member_lacks_capability" }
      let wanted = Member(
        name: name, address: address, region: region, capabilities: capabilities,
        status: isFenced(region) ? .suspected : .active)
      if var old = members[name.name], old.status != .left {
        old.status = wanted.status
        if old == wanted { return "done" }
      }
      if areas[region] == nil { areas[region] = Area() }
      forget(name.name)
      members[name.name] = wanted
      judge()
      return "changed"
    case .leave(let name):
      guard let member = members[name.name] else { return "no_such_member" }
      guard member.status != .left else { return "done" }
      members[name.name]?.status = .left
      forget(name.name)
      judge()
      return "changed"
    case .report(let name, let region, let isSilent):
      guard let member = members[name.name] else { return "no_such_member" }
      guard member.status == .active else { return "member_not_active" }
      guard member.region != region else { return "reporter_inside" }
      guard let area = areas[region] else { return "no_such_region" }
      guard area.silentTo.contains(name.name) != isSilent else { return "done" }
      if isSilent {
        areas[region]?.silentTo.insert(name.name)
      } else {
        areas[region]?.silentTo.remove(name.name)
      }
      judge()
      return "changed"
    case .declareLost(let region):
      guard areas[region] != nil else { return "no_such_region" }
      guard !isFenced(region) else { return "done" }
      lose(region)
      judge()
      return "changed"
    case .sweep(let region, let epoch, let limit):
      return sweep(region, epoch, limit)
    case .beginReturn(let region):
      guard let area = areas[region] else { return "no_such_region" }
      if area.status == "up" || area.status == "returning" { return "done" }
      guard area.status == "lost" else { return "region_not_lost" }
      areas[region]?.status = "returning"
      let rest = routesAtHome(in: region)
      areas[region]?.rest = rest
      return "changed"
    case .setHomes(let groups, let region, _):
      let changed = Set(groups).filter { homes[$0] != region }
      guard !changed.isEmpty else { return "done" }
      if let region {
        if isFenced(region) { return "region_not_up" }
        if areas[region] == nil { areas[region] = Area() }
      }
      for group in changed { homes[group] = region }
      return "changed"
    case .setLeaderPreference(let region, let order):
      guard areas[region]?.order ?? [] != order else { return "done" }
      areas[region, default: Area()].order = order
      return "changed"
    case .setPromotionPolicy(let name, let span):
      guard policies[name.name] != span else { return "done" }
      policies[name.name] = span
      return "changed"
    case .promote(let step):
      return promote(step, routes)
    case .claim(let claim, let isReplacing):
      guard areas[claim.region]?.epoch ?? 0 == claim.epoch else { return "wrong_epoch" }
      if let last = claims[claim.region] {
        if last.epoch == claim.epoch, last.member != claim.member, !isReplacing {
          return "region_led_elsewhere"
        }
        guard claim.number == last.number + 1 else { return "claim_out_of_order" }
      } else if claim.number != 1 {
        return "claim_out_of_order"
      }
      if areas[claim.region] == nil { areas[claim.region] = Area() }
      claims[claim.region] = claim
      return "changed"
    }
  }

  /// In the order in which a sweep goes: by group, then by id. What moves meanwhile is looked up
  /// then.
  private func routesAtHome(in region: Region) -> [RouteID] {
    places.filter { homes[$0.group] == region }
      .sorted { ($0.group.rawValue, $0.id.rawValue) < ($1.group.rawValue, $1.id.rawValue) }
      .map(\.id)
  }

  private mutating func forget(_ name: String) {
    for region in areas.keys { areas[region]?.silentTo.remove(name) }
  }

  private mutating func lose(_ region: Region) {
    areas[region]?.status = "lost"
    areas[region]?.epoch += 1
    let rest = routesAtHome(in: region)
    areas[region]?.rest = rest
    areas[region]?.failed = 0
    areas[region]?.promoted = 0
    areas[region]?.returned = 0
    areas[region]?.plan = nil
    for (name, member) in members where member.region == region && member.status == .active {
      members[name]?.status = .suspected
      forget(name)
    }
  }

  private mutating func judge() {
    for region in areas.keys.sorted() where !isFenced(region) {
      let judges = members.values.filter { $0.status == .active && $0.region != region }
      let votes = areas[region]?.silentTo.count ?? 0
      if !judges.isEmpty, votes * 2 > judges.count {
        lose(region)
        return judge()
      }
      areas[region]?.status = votes > 0 ? "suspected" : "up"
    }
  }

  private mutating func sweep(_ region: Region, _ epoch: UInt64, _ limit: Int) -> String {
    guard var area = areas[region] else { return "no_such_region" }
    guard area.epoch == epoch else { return "wrong_epoch" }
    guard isFenced(region), var rest = area.rest else { return "done" }
    // Homes may have changed since the sweep began: what has gone needs none, what came is at its end.
    let now = routesAtHome(in: region)
    rest = now.filter { rest.contains($0) }
    let (from, to): (RouteState?, RouteState) =
      area.status == "lost" ? (nil, .softFailed) : (.softFailed, .active)
    var changed = 0
    for id in rest.prefix(limit) {
      guard let index = places.firstIndex(where: { $0.id == id }) else { continue }
      if places[index].state != to, from == nil || places[index].state == from {
        places[index].state = to
        changed += 1
      }
    }
    let isLast = rest.count <= limit
    area.rest = isLast ? nil : Array(rest.dropFirst(limit))
    if area.status == "lost" {
      area.failed += changed
    } else {
      area.returned += changed
      if isLast {
        area.status = "up"
        area.silentTo = []
        area.plan = nil
        for (name, member) in members where member.region == region && member.status == .suspected {
          members[name]?.status = .active
        }
      }
    }
    areas[region] = area
    return "changed"
  }

  private mutating func promote(_ step: PromotionStep, _ routes: [Route]) -> String {
    guard let area = areas[step.region] else { return "no_such_region" }
    guard area.epoch == step.epoch else { return "wrong_epoch" }
    guard area.status == "lost" else { return "region_not_lost" }
    guard area.rest == nil else { return "region_not_swept" }
    let next = area.plan == step.plan ? area.step : 0
    if step.step < next { return "done" }
    if step.step > next { return "step_out_of_order" }
    let named = step.moves.flatMap { move in move.routes.map { (move, $0) } }
    for (move, id) in named {
      guard let route = routes.first(where: { $0.id == id }) else { return "no_such_route" }
      if route.group != move.from || route.state != .softFailed || route.version > step.version {
        // Another one may be wrong in a way that is told first.
        return "plan_outdated"
      }
      if homes[move.from] != step.region { return "malformed_plan" }
      if let home = homes[move.to], isFenced(home) { return "region_not_up" }
    }
    for (move, id) in named {
      guard let index = places.firstIndex(where: { $0.id == id }) else { continue }
      places[index].group = move.to
      places[index].state = .active
    }
    areas[step.region]?.plan = step.plan
    areas[step.region]?.step = step.step + 1
    areas[step.region]?.steps = step.steps
    areas[step.region]?.promoted += named.count
    return "changed"
  }

  func check(_ membership: Membership, _ place: Comment) throws {
    #expect(membership.members == members.values.sorted { $0.name < $1.name }, place)
    #expect(membership.regions.map(\.region) == areas.keys.sorted(), place)
    for record in membership.regions {
      let area = try #require(areas[record.region], place)
      #expect(record.status.description == area.status, place)
      #expect(record.epoch == area.epoch, place)
      #expect(record.silentTo.map(\.name) == area.silentTo.sorted(), place)
      #expect(record.leaderPreference == area.order, place)
      #expect(record.failed == area.failed, place)
      #expect(record.promoted == area.promoted, place)
      #expect(record.returned == area.returned, place)
      #expect(record.recovery?.plan == area.plan, place)
      if area.plan != nil { #expect(record.recovery?.step == area.step, place) }
    }
    for group in 0...8 {
      #expect(membership.home(of: GroupID(UInt64(group))) == homes[GroupID(UInt64(group))], place)
    }
    for region in areas.keys {
      let groups = homes.filter { $0.value == region }.keys.sorted()
      #expect(membership.groups(in: region) == groups, place)
    }
    #expect(membership.policies.map(\.name.name) == policies.keys.sorted(), place)
    #expect(membership.homeCount == homes.count, place)
    #expect(membership.claims == claims.values.sorted { $0.region < $1.region }, place)
  }
}

extension MembershipChange {
  /// A change that often can be carried out, and often just cannot.
  static func random(
    _ twin: MembershipTwin, using generator: inout SeededGenerator
  ) -> MembershipChange {
    func region(_ generator: inout SeededGenerator) -> Region {
      (try? Region(["asia", "europe", "america"].randomElement(using: &generator) ?? "asia"))
        ?? unreachable()
    }
    func name(_ generator: inout SeededGenerator) -> MemberName {
      (try? MemberName("node-\(Int.random(in: 0..<6, using: &generator))")) ?? unreachable()
    }
    let area = region(&generator)
    let epoch = generator.oneIn(9) ? 7 : twin.areas[area]?.epoch ?? 0
    switch Int.random(in: 0..<16, using: &generator) {
    case 0...1:
      return .join(
        name(&generator), address: "h:\(Int.random(in: 1...2, using: &generator))", region: area,
        capabilities: generator.oneIn(9) ? [] : .known)
    case 2:
      return generator.oneIn(2) ? .leave(name(&generator)) : .enable(.members)
    case 3...5:
      return .report(by: name(&generator), of: area, isSilent: !generator.oneIn(3))
    case 6:
      return .declareLost(area)
    case 7...8:
      return .sweep(area, epoch: epoch, limit: Int.random(in: 1...4, using: &generator))
    case 9:
      return .beginReturn(area)
    case 10:
      // Not while routes of the group are gone through: the twin keeps a list of them.
      guard !twin.areas.keys.contains(where: { twin.isFenced($0) }) else {
        return .setLeaderPreference(area, [region(&generator)])
      }
      return .setHomes(
        [GroupID(UInt64.random(in: 1...5, using: &generator))],
        generator.oneIn(5) ? nil : area, evenIfViolating: false)
    case 11:
      return .setPromotionPolicy(name(&generator), generator.oneIn(2) ? nil : .all)
    case 12...13:
      let last = twin.claims[area]
      return .claim(
        RegionClaim(
          region: area, epoch: epoch,
          member: generator.oneIn(3) ? name(&generator) : last?.member ?? name(&generator),
          number: (last?.number ?? 0) + (generator.oneIn(9) ? 2 : 1),
          limit: Milliseconds(generator.oneIn(2) ? 0 : .random(in: 1...90_000, using: &generator))),
        replacing: generator.oneIn(3))
    default:
      let from = twin.homes.filter { $0.value == area }.keys.sorted().first ?? GroupID(1)
      let failed = twin.places.filter { $0.group == from && $0.state == .softFailed }
      let plan = Array("\(epoch)".utf8).withUnsafeBytes(EntryHash.init(of:))
      let step = twin.areas[area]?.plan == plan ? twin.areas[area]?.step ?? 0 : 0
      guard let route = failed.first?.id ?? twin.places.first?.id else { return .declareLost(area) }
      return .promote(
        PromotionStep(
          region: area, epoch: epoch, plan: plan,
          version: CatalogVersion(generator.oneIn(9) ? 0 : 99_999),
          step: generator.oneIn(9) ? step + 1 : step, steps: 1_000,
          moves: [
            PromotionMove(
              from: from, to: GroupID(UInt64.random(in: 6...7, using: &generator)),
              routes: [route])
          ]))
    }
  }
}
