import Catalog
import StateMachines

extension MembershipOverview {
  /// Members, regions and policies, as `--json` writes them.
  var membershipJSON: JSON {
    let enabled = capabilities.sorted { $0.key < $1.key }.map { bit, name -> JSON in
      ["bit": .number(UInt64(bit)), "name": .string(name)]
    }
    let listed = members.map { member -> JSON in
      [
        "name": .string(member.name.name), "address": .string(member.address),
        "region": .string(member.region.name), "status": .string(member.status.description),
        "reads": .array(
          member.capabilities.names(capabilities).map { .string($0) }),
      ]
    }
    let places = regions.map { region -> JSON in
      [
        "name": .string(region.region.name), "status": .string(region.status.description),
        "epoch": .number(region.epoch),
        "silent_to": .array(region.silentTo.map { .string($0.name) }),
        "leader_preference": .array(region.leaderPreference.map { .string($0.name) }),
        "groups": .number(groupCounts[region.region] ?? 0),
        "swept": .bool(region.sweep.isDone), "failed": .number(region.failed),
        "promoted": .number(region.promoted), "returned": .number(region.returned),
        "plan": JSON(region.recovery?.plan.description), "step": JSON(region.recovery?.step),
        "steps": JSON(region.recovery?.steps),
      ]
    }
    let spans = policies.map { policy -> JSON in
      .object(
        [("name", .string(policy.name.name))] + JSON.fields("lower", policy.span.lower)
          + (policy.span.upper.map { JSON.fields("upper", $0) } ?? [("upper", .null)]))
    }
    let led = claims.map { claim -> JSON in
      [
        "region": .string(claim.region.name), "epoch": .number(claim.epoch),
        "member": .string(claim.member.name), "catalog_limit_ms": .number(claim.limit.rawValue),
      ]
    }
    return [
      "version": JSON(version), "position": JSON(position),
      "capabilities": .array(enabled), "members": .array(listed),
      "regions": .array(places), "policies": .array(spans),
      "homes": .number(homeCount), "region_leaders": .array(led),
    ]
  }

  /// Members, regions and policies, for people.
  func membershipText(style: TerminalStyle) -> String {
    guard !capabilities.isEmpty else {
      return "no members: turn them on with cadastre members enable \(Capability.members.name)\n"
    }
    let names = capabilities.sorted { $0.key < $1.key }.map(\.value)
    var text = "entries may need: \(names.joined(separator: ", "))\n\n"
    var people = TextTable(
      .left("member"), .left("region"), .left("status"), .left("address"), .left("reads"))
    for member in members {
      people.add(
        member.name.name, member.region.name, member.status.description, member.address,
        member.capabilities.names(capabilities).joined(separator: ","))
    }
    text += people.text(style: style) + "\n"
    var places = TextTable(
      .left("region"), .left("status"), .right("epoch"), .right("groups"), .right("failed"),
      .right("promoted"), .right("returned"), .left("leaders"), .left("silent to"))
    for region in regions {
      places.add(
        region.region.name, region.status.description, "\(region.epoch)",
        grouped(groupCounts[region.region] ?? 0), grouped(region.failed),
        grouped(region.promoted), grouped(region.returned),
        region.leaderPreference.map(\.name).joined(separator: ","),
        region.silentTo.map(\.name).joined(separator: ","))
    }
    text += places.text(style: style)
    if !claims.isEmpty {
      var leaders = TextTable(
        .left("stream of"), .left("led by"), .right("epoch"), .left("without the catalog"))
      for claim in claims {
        leaders.add(
          claim.region.name, claim.member.name, "\(claim.epoch)",
          claim.limit > .zero ? "for \(claim.limit) ms" : "until it hears of its loss")
      }
      text += "\n" + leaders.text(style: style)
    }
    guard !policies.isEmpty else { return text }
    var spans = TextTable(.left("policy"), .left("span"))
    for policy in policies { spans.add(policy.name.name, policy.span.description) }
    return text + "\n" + spans.text(style: style)
  }
}
