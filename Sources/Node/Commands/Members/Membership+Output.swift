import Catalog
import StateMachines

extension CatalogState {
  /// Members, regions and policies, as `--json` writes them.
  var membershipJSON: JSON {
    let capabilities = membership.capabilities.sorted { $0.key < $1.key }.map { bit, name -> JSON in
      ["bit": .number(UInt64(bit)), "name": .string(name)]
    }
    let members = membership.members.map { member -> JSON in
      [
        "name": .string(member.name.name), "address": .string(member.address),
        "region": .string(member.region.name), "status": .string(member.status.description),
        "reads": .array(
          member.capabilities.names(membership.capabilities).map { .string($0) }),
      ]
    }
    let regions = membership.regions.map { region -> JSON in
      [
        "name": .string(region.region.name), "status": .string(region.status.description),
        "epoch": .number(region.epoch),
        "silent_to": .array(region.silentTo.map { .string($0.name) }),
        "leader_preference": .array(region.leaderPreference.map { .string($0.name) }),
        "groups": JSON(membership.groups(in: region.region).count),
        "swept": .bool(region.sweep.isDone), "failed": .number(region.failed),
        "promoted": .number(region.promoted), "returned": .number(region.returned),
        "plan": JSON(region.recovery?.plan.description), "step": JSON(region.recovery?.step),
        "steps": JSON(region.recovery?.steps),
      ]
    }
    let policies = membership.policies.map { policy -> JSON in
      .object(
        [("name", .string(policy.name.name))] + JSON.fields("lower", policy.span.lower)
          + (policy.span.upper.map { JSON.fields("upper", $0) } ?? [("upper", .null)]))
    }
    return [
      "version": JSON(version), "position": JSON(appliedThrough),
      "capabilities": .array(capabilities), "members": .array(members),
      "regions": .array(regions), "policies": .array(policies),
      "homes": JSON(membership.homeCount),
    ]
  }

  /// Members, regions and policies, for people.
  func membershipText(style: TerminalStyle) -> String {
    guard !membership.isEmpty else {
      return "no members: turn them on with cadastre members enable \(Capability.members.name)\n"
    }
    let names = membership.capabilities.sorted { $0.key < $1.key }.map(\.value)
    var text = "entries may need: \(names.joined(separator: ", "))\n\n"
    var members = TextTable(
      .left("member"), .left("region"), .left("status"), .left("address"), .left("reads"))
    for member in membership.members {
      members.add(
        member.name.name, member.region.name, member.status.description, member.address,
        member.capabilities.names(membership.capabilities).joined(separator: ","))
    }
    text += members.text(style: style) + "\n"
    var regions = TextTable(
      .left("region"), .left("status"), .right("epoch"), .right("groups"), .right("failed"),
      .right("promoted"), .right("returned"), .left("leaders"), .left("silent to"))
    for region in membership.regions {
      regions.add(
        region.region.name, region.status.description, "\(region.epoch)",
        grouped(membership.groups(in: region.region).count), grouped(region.failed),
        grouped(region.promoted), grouped(region.returned),
        region.leaderPreference.map(\.name).joined(separator: ","),
        region.silentTo.map(\.name).joined(separator: ","))
    }
    text += regions.text(style: style)
    guard !membership.policies.isEmpty else { return text }
    var policies = TextTable(.left("policy"), .left("span"))
    for policy in membership.policies { policies.add(policy.name.name, policy.span.description) }
    return text + "\n" + policies.text(style: style)
  }
}
