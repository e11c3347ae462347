import ArgumentParser
import CadastreClient
import CadastreProtocol
import Catalog
import StateMachines

struct RegionClocksCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "clocks",
    abstract: "Say who leads groups, in which region and term, and how high their clocks may run.",
    discussion: """
      Examples:
        cadastre region clocks 1-9 --server 127.0.0.1:4711
      """)

  @Argument(
    help: ArgumentHelp("The groups, as 7 or 1-9,12.", valueName: "groups"),
    transform: parseGroupSet)
  var groups: GroupSet

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let groups = groups
    let clocks = try await server.withClient { try await $0.clocks(of: groups) }
    output.write(
      ["clocks": .array(clocks.map(\.json))], else: clocks.text(style: StandardStream.output.style))
  }
}

struct RegionMoveGroupCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "move-group",
    abstract: "Give groups another region as their home, and wait until it leads them.",
    discussion: """
      Changes the catalog, as members home does; the leaders of the two regions' streams do the \
      rest: the old one seals the groups' clocks, the new one begins above them. What is broken off \
      goes on by itself.

      Examples:
        cadastre region move-group 7 --to osaka --server 127.0.0.1:4711
        cadastre region move-group 7-9,12 --to osaka --wait 30s --server 127.0.0.1:4711
      """)

  @Argument(
    help: ArgumentHelp("The groups, as 7 or 1-9,12.", valueName: "groups"),
    transform: parseGroupSet)
  var groups: GroupSet

  @Option(help: ArgumentHelp("Their new home.", valueName: "region"), transform: parseRegion)
  var to: Region

  @Flag(help: "Also where routes of a group are not allowed.")
  var evenIfViolating = false

  @Option(
    help: ArgumentHelp(
      "How long to wait until they are led there; 0s does not wait.", valueName: "duration"),
    transform: parseDuration)
  var wait: Duration = .seconds(10)

  @OptionGroup var server: ServerOptions
  @OptionGroup var author: AuthorOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard groups.count <= 100_000 else { throw ValidationError("at most 100,000 groups at once") }
  }

  func run() async throws {
    let (groups, region, wait) = (groups, to, wait)
    var catalog = CatalogOptions()
    catalog.server = try server.address()
    catalog.security = server.security
    catalog.logFolder = nil
    let ids = groups.runs.flatMap { run in
      (run.first.rawValue...run.last.rawValue).map { GroupID($0) }
    }
    let change = MembershipChange.setHomes(ids, region, evenIfViolating: evenIfViolating)
    let author = author
    let receipt = try await catalog.withWriter { try await $0.submit(change, by: author) }
    let clocks = try await server.withClient { client in
      let deadline = NodeClock.system.now() + wait
      while true {
        let clocks = try await client.clocks(of: groups)
        let areThere = clocks.allSatisfy { $0.region == region.name && $0.standing == .led }
        if areThere || NodeClock.system.now() >= deadline { return clocks }
        try await Task.sleep(for: .milliseconds(50))
      }
    }
    let left = clocks.filter { $0.region != region.name || $0.standing != .led }
    output.write(
      [
        "groups": .string(groups.description), "to_region": .string(region.name),
        "position": JSON(receipt.position), "done": .bool(left.isEmpty),
        "clocks": .array(clocks.map(\.json)),
      ],
      else: left.isEmpty
        ? "groups \(groups) are led in region \(region)\n"
        : "groups \(groups) are at home in region \(region), which does not lead all of them yet\n"
          + clocks.text(style: StandardStream.output.style))
  }
}

extension Cadastre_V1_ClockInfo {
  fileprivate var json: JSON {
    [
      "first": .number(groups.first), "last": .number(groups.last),
      "region": JSON(region.isEmpty ? nil : region), "standing": .string(standing.name),
      "leader": JSON(leader.isEmpty ? nil : leader),
      "leader_address": JSON(leaderAddress.isEmpty ? nil : leaderAddress), "term": .number(term),
      "ceiling": .string(HybridTimestamp(ceiling).description),
    ]
  }
}

extension Cadastre_V1_ClockStanding {
  fileprivate var name: String {
    switch self {
    case .led: "led"
    case .vacant: "vacant"
    case .departed: "departed"
    case .none: "none"
    case .unspecified, .UNRECOGNIZED: "unknown"
    }
  }
}

extension [Cadastre_V1_ClockInfo] {
  fileprivate func text(style: TerminalStyle) -> String {
    var table = TextTable(
      .left("groups"), .left("region"), .left("standing"), .left("leader"), .left("at"),
      .right("term"), .left("ceiling"))
    for info in self {
      table.add(
        "\(GroupSet(GroupRun(info.groups)))", info.region, info.standing.name, info.leader,
        info.leaderAddress, "\(info.term)", "\(HybridTimestamp(info.ceiling))")
    }
    return table.text(style: style)
  }
}
