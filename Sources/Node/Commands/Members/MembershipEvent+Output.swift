import Catalog

extension MembershipEvent {
  /// The event's fields, as `--json` writes them.
  var fields: [(name: String, value: JSON)] {
    switch self {
    case .capabilityEnabled(let bit, let name):
      [
        ("kind", "capability-enabled"), ("bit", .number(UInt64(bit))),
        ("capability", .string(name)),
      ]
    case .memberJoined(let member, let address, let region, let capabilities):
      [
        ("kind", "member-joined"), ("member", .string(member.name)),
        ("address", .string(address)), ("region", .string(region.name)),
        ("capabilities", .array(capabilities.names().map { .string($0) })),
      ]
    case .memberLeft(let member):
      [("kind", "member-left"), ("member", .string(member.name))]
    case .silenceReported(let member, let region, let isSilent):
      [
        ("kind", "silence-reported"), ("member", .string(member.name)),
        ("region", .string(region.name)), ("silent", .bool(isSilent)),
      ]
    case .regionSuspected(let region):
      [("kind", "region-suspected"), ("region", .string(region.name))]
    case .regionCleared(let region):
      [("kind", "region-cleared"), ("region", .string(region.name))]
    case .regionLost(let region, let epoch):
      [("kind", "region-lost"), ("region", .string(region.name)), ("epoch", .number(epoch))]
    case .regionReturning(let region, let epoch):
      [("kind", "region-returning"), ("region", .string(region.name)), ("epoch", .number(epoch))]
    case .regionSwept(let region, let epoch, let group, let route, let changed, let isLast):
      [
        ("kind", "region-swept"), ("region", .string(region.name)), ("epoch", .number(epoch)),
        ("group", JSON(group)), ("route", JSON(route)), ("changed", .number(changed)),
        ("last", .bool(isLast)),
      ]
    case .groupsHomed(let groups, let region):
      [
        ("kind", "groups-homed"), ("groups", .array(groups.map { JSON($0) })),
        ("region", JSON(region?.name)),
      ]
    case .leaderPreferenceSet(let region, let order):
      [
        ("kind", "leader-preference-set"), ("region", .string(region.name)),
        ("order", .array(order.map { .string($0.name) })),
      ]
    case .promotionPolicySet(let name, let span):
      [("kind", "promotion-policy-set"), ("policy", .string(name.name))]
        + (span.map { JSON.fields("lower", $0.lower) } ?? [("lower", .null)])
        + (span?.upper.map { JSON.fields("upper", $0) } ?? [("upper", .null)])
    case .recoveryAdvanced(let region, let epoch, let plan, let step, let steps, let promoted):
      [
        ("kind", "recovery-advanced"), ("region", .string(region.name)),
        ("epoch", .number(epoch)), ("plan", .string(plan.description)), ("step", .number(step)),
        ("steps", .number(steps)), ("promoted", .number(promoted)),
      ]
    case .regionClaimed(let claim):
      [
        ("kind", "region-claimed"), ("region", .string(claim.region.name)),
        ("epoch", .number(claim.epoch)), ("member", .string(claim.member.name)),
        ("number", .number(claim.number)), ("limit_ms", .number(claim.limit.rawValue)),
      ]
    }
  }

  /// The event in one line, for people.
  var text: String {
    switch self {
    case .capabilityEnabled(_, let name): "entries may need \(name)"
    case .memberJoined(let member, let address, let region, _):
      "member \(member) joined at \(quoted(Key(unchecked: Array(address.utf8)))) in \(region)"
    case .memberLeft(let member): "member \(member) left"
    case .silenceReported(let member, let region, let isSilent):
      isSilent
        ? "member \(member) hears nothing of region \(region)"
        : "member \(member) hears of region \(region) again"
    case .regionSuspected(let region): "region \(region) is suspected"
    case .regionCleared(let region): "region \(region) is not suspected any more"
    case .regionLost(let region, let epoch): "region \(region) is lost: its epoch is \(epoch)"
    case .regionReturning(let region, let epoch): "region \(region) returns with epoch \(epoch)"
    case .regionSwept(let region, _, _, _, let changed, let isLast):
      "\(grouped(changed)) routes of region \(region) changed with it"
        + (isLast ? ", the last of them" : "")
    case .groupsHomed(let groups, let region):
      "\(grouped(groups.count)) group\(groups.count == 1 ? "" : "s") at home in "
        + (region?.name ?? "no region in particular")
    case .leaderPreferenceSet(let region, let order):
      "leaders of groups in \(region) rather in \(order.map(\.name).joined(separator: ", "))"
    case .promotionPolicySet(let name, let span):
      span.map { "policy \(name): \($0) is promoted without an operator" }
        ?? "policy \(name) is no more"
    case .recoveryAdvanced(let region, _, _, let step, let steps, let promoted):
      "step \(step + 1) of \(steps) of the recovery of \(region): \(grouped(promoted)) routes promoted"
    case .regionClaimed(let claim):
      "member \(claim.member) leads the stream of region \(claim.region) under epoch \(claim.epoch)"
        + (claim.limit > .zero
          ? ", and stops after \(claim.limit) ms without the catalog" : "")
    }
  }
}
