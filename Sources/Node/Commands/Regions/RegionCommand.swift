import CadastreClient
import CadastreProtocol
import ArgumentParser
import Catalog
import SwiftProtobuf

struct RegionsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "region",
    abstract: "See and change who leads the regions' streams, and the clocks of groups.",
    subcommands: [
      RegionStatusCommand.self, RegionClocksCommand.self, RegionLeadCommand.self,
      RegionRetireCommand.self, RegionMoveGroupCommand.self, RegionPromoteCommand.self,
    ])
}

struct RegionStatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Say what a node leads and mirrors, how its renewals go and how far mirrors are.",
    discussion: """
      Examples:
        cadastre region status --server 127.0.0.1:4711
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let status = try await server.withClient { try await $0.regions() }
    output.write(status.json, else: status.text(style: StandardStream.output.style))
    for region in status.regions where !region.condition.isEmpty {
      output.note("warning: region \(region.region): \(region.condition)")
    }
    if status.wallClockHeldBackMs > 0 {
      output.note(
        "warning: the wall clock is \(status.wallClockHeldBackMs) ms ahead of what can be: set it "
          + "right")
    }
  }
}

struct RegionLeadCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lead",
    abstract: "Let a node lead groups: it issues their timestamps from then on.",
    discussion: """
      A leader before it that did not hand over is waited for.

      Examples:
        cadastre region lead 1-100000 --server 127.0.0.1:4711
        cadastre region lead 7,9 --region tokyo --server 127.0.0.1:4711
      """)

  @OptionGroup var led: LedGroupsOptions
  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let (groups, region) = (led.groups, led.region)
    let answer = try await server.withClient {
      try await $0.lead(groups, in: region)
    }
    output.write(
      [
        "region": .string(answer.region), "groups": .string(groups.description),
        "term": .number(answer.term), "wait_ms": .number(answer.waitMs),
        "position": .number(answer.position),
      ],
      else: "leads groups \(groups) of region \(answer.region) in term \(answer.term)"
        + (answer.waitMs > 0 ? ", after a wait of \(answer.waitMs) ms" : "") + "\n")
  }
}

struct RegionRetireCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retire",
    abstract: "Let a node hand over groups: their next leader need not wait.",
    discussion: """
      Examples:
        cadastre region retire 7-9 --server 127.0.0.1:4711
      """)

  @OptionGroup var led: LedGroupsOptions
  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let (groups, region) = (led.groups, led.region)
    let answer = try await server.withClient {
      try await $0.retire(groups, in: region)
    }
    output.write(
      [
        "region": .string(answer.region), "groups": .string(groups.description),
        "position": .number(answer.position),
      ],
      else: "leads groups \(groups) of region \(answer.region) no more\n")
  }
}

/// Groups of a region whose stream a node leads.
struct LedGroupsOptions: ParsableArguments {
  @Argument(
    help: ArgumentHelp("The groups, as 7 or 1-9,12.", valueName: "groups"),
    transform: parseGroupSet)
  var groups: GroupSet

  @Option(
    help: ArgumentHelp("The region, where the node leads several.", valueName: "name"),
    transform: parseRegion)
  var region: Region?
}

/// Reads groups.
@Sendable
func parseGroupSet(_ text: String) throws -> GroupSet {
  guard let groups = GroupSet(text: text) else {
    throw ValidationError("give groups as 7 or 1-9,12")
  }
  return groups
}

extension Cadastre_V1_RegionsResponse {
  fileprivate var json: JSON {
    [
      "member": .string(member), "wall_clock_held_back_ms": .number(wallClockHeldBackMs),
      "wall_clock_furthest_ms": .number(wallClockFurthestMs),
      "maximum_skew_ms": .number(maximumSkewMs), "regions": .array(regions.map(\.json)),
    ]
  }

  fileprivate func text(style: TerminalStyle) -> String {
    var table = TextTable(
      .left("region"), .left("role"), .right("position"), .right("groups"), .right("led"),
      .right("renewals"), .right("late"), .right("failed"), .right("transactions"),
      .right("undecided"))
    for region in regions {
      table.add(
        region.region, region.role.name, grouped(region.position), grouped(region.groups),
        grouped(region.ledGroups), grouped(region.renewals), grouped(region.lateRenewals),
        grouped(region.failures), grouped(region.transactions),
        grouped(region.undecidedTransactions))
    }
    var text = table.text(style: style)
    for region in regions where region.hasMirror {
      let mirror = region.mirror
      let leader = mirror.leaderAddress.isEmpty ? "no leader yet" : mirror.leaderAddress
      text +=
        "the mirror of region \(region.region) \(mirror.connected ? "follows" : "has lost") \(leader), "
        + "\(grouped(mirror.lag)) entries behind what it heard of"
        + (mirror.hasStalenessMs ? ", whole \(grouped(mirror.stalenessMs)) ms ago" : "") + "\n"
    }
    return text
  }
}

extension Cadastre_V1_RegionRole {
  fileprivate var name: String {
    switch self {
    case .leader: "leader"
    case .mirror: "mirror"
    case .fenced: "fenced"
    case .unspecified, .UNRECOGNIZED: "unknown"
    }
  }
}

extension Cadastre_V1_RegionStatus {
  fileprivate var json: JSON {
    var fields: JSON = [
      "region": .string(region), "role": .string(role.name), "epoch": .number(epoch),
      "position": .number(position), "time": .string(HybridTimestamp(time).description),
      "groups": .number(groups), "led_groups": .number(ledGroups),
      "transactions": .number(transactions),
      "undecided_transactions": .number(undecidedTransactions), "renewals": .number(renewals),
      "late_renewals": .number(lateRenewals), "failures": .number(failures),
      "condition": JSON(condition.isEmpty ? nil : condition),
      "catalog_limit_ms": .number(catalogLimitMs),
    ]
    guard hasMirror else { return fields }
    fields = fields.adding([
      "mirror": [
        "leader_address": JSON(mirror.leaderAddress.isEmpty ? nil : mirror.leaderAddress),
        "connected": .bool(mirror.connected), "leader_position": .number(mirror.leaderPosition),
        "lag": .number(mirror.lag),
        "staleness_ms": JSON(mirror.hasStalenessMs ? mirror.stalenessMs : nil),
        "resets": .number(mirror.resets), "reconnects": .number(mirror.reconnects),
        "last_error": JSON(mirror.lastError.isEmpty ? nil : mirror.lastError),
      ]
    ])
    return fields
  }
}
