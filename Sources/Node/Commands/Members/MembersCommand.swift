import ArgumentParser
import CadastreClient
import Catalog
import StateMachines

/// Who takes part in a catalog.
struct MembersCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "members",
    abstract: "See and change members, regions, groups' homes, and what entries may need.",
    discussion: """
      Before anything else of it, cap_members_v1 is turned on once, on purpose; nodes join by \
      themselves when they are started with serve --member NAME.

      Examples:
        cadastre members enable cap_members_v1 --log ./catalog
        cadastre members home 1 2 3 --in eu-west --server host:4711
        cadastre members prefer eu-west --order eu-west,eu-central --server host:4711
        cadastre members policy billing --from billing/ --to billing0 --server host:4711
        cadastre members list --server host:4711
      """,
    subcommands: [
      MembersListCommand.self, MembersEnableCommand.self, MembersJoinCommand.self,
      MembersLeaveCommand.self, MembersHomeCommand.self, MembersPreferCommand.self,
      MembersPolicyCommand.self, MembersDeclareLostCommand.self,
    ])
}

struct MembersListCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List members, regions, policies and what entries may need.")

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let overview = try await catalog.membershipOverview()
    output.write(
      overview.membershipJSON, else: overview.membershipText(style: StandardStream.output.style))
  }
}

struct MembersEnableCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "enable",
    abstract: "Let entries need a capability, for good, when every active member reads it.")

  @Argument(
    help: ArgumentHelp("The capability, as cap_members_v1.", valueName: "capability"),
    transform: parseCapability)
  var capability: Capability

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var write: WriteOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await catalog.submit(
      try write.command(.membership(.enable(capability))), output: output)
  }
}

struct MembersJoinCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "join",
    abstract: "Let a member join, or come again elsewhere; nodes do it by themselves.")

  @Argument(help: ArgumentHelp("Its name.", valueName: "name"), transform: parseMember)
  var name: MemberName

  @Option(
    help: ArgumentHelp("Where other nodes reach it.", valueName: "host:port"),
    transform: parseAddress)
  var address: NodeAddress

  @Option(help: ArgumentHelp("Its region.", valueName: "name"), transform: parseRegion)
  var region: Region

  @Option(
    name: .customLong("reads"),
    help: ArgumentHelp(
      "The capabilities that its binary reads, with commas between. Default: those of this one.",
      valueName: "capabilities"),
    transform: { try CapabilitySet($0.split(separator: ",").map { try parseCapability("\($0)") }) })
  var reads: CapabilitySet?

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var write: WriteOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let change = MembershipChange.join(
      name, address: "\(address)", region: region, capabilities: reads ?? .known)
    try await catalog.submit(try write.command(.membership(change)), output: output)
  }
}

extension CapabilitySet {
  fileprivate init(_ capabilities: [Capability]) {
    self = capabilities.reduce(into: []) { $0.formUnion(CapabilitySet($1)) }
  }
}

struct MembersLeaveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "leave", abstract: "Let a member leave: it counts no more.")

  @Argument(help: ArgumentHelp("Its name.", valueName: "name"), transform: parseMember)
  var name: MemberName

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var write: WriteOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await catalog.submit(try write.command(.membership(.leave(name))), output: output)
  }
}

struct MembersHomeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "home",
    abstract: "Say in which region groups have their home.",
    discussion: """
      Refused when routes of a group are not allowed there; --even-if-violating says that they are \
      moved next, and cadastre placement check lists them until then.
      """)

  @Argument(help: ArgumentHelp("The groups.", valueName: "group"), transform: parseGroupID)
  var groups: [GroupID]

  @Option(
    name: .customLong("in"), help: ArgumentHelp("Their region.", valueName: "region"),
    transform: parseRegion)
  var region: Region?

  @Flag(help: "Let them have no home in particular.")
  var nowhere = false

  @Flag(help: "Also where routes of a group are not allowed.")
  var evenIfViolating = false

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var write: WriteOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if (region == nil) != nowhere { throw ValidationError("give either --in REGION or --nowhere") }
  }

  func run() async throws {
    let change = MembershipChange.setHomes(groups, region, evenIfViolating: evenIfViolating)
    try await catalog.submit(try write.command(.membership(change)), output: output)
  }
}

struct MembersPreferCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prefer",
    abstract: "Say where leaders of a region's groups should be, best first.",
    discussion: "Routes of a lost region are promoted to its preferred regions first.")

  @Argument(help: ArgumentHelp("The region.", valueName: "region"), transform: parseRegion)
  var region: Region

  @Option(
    help: ArgumentHelp("Regions, best first, with commas between.", valueName: "regions"),
    transform: { try $0.split(separator: ",").map { try parseRegion("\($0)") } })
  var order: [Region]

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var write: WriteOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await catalog.submit(
      try write.command(.membership(.setLeaderPreference(region, order))), output: output)
  }
}

struct MembersPolicyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "policy",
    abstract: "Let the routes of a span be promoted without an operator when their region is lost.")

  @Argument(help: ArgumentHelp("The policy's name.", valueName: "name"), transform: parseMember)
  var name: PolicyName

  @Option(
    name: .customLong("from"), help: ArgumentHelp("The first key of the span.", valueName: "key"),
    transform: parseKey)
  var lower: Key?

  @Option(
    name: .customLong("to"),
    help: ArgumentHelp(
      "The first key past the span. Default: its end is that of the keyspace.",
      valueName: "key"), transform: parseKey)
  var upper: Key?

  @Flag(help: "Let the policy end.")
  var remove = false

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var write: WriteOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if (lower == nil) != remove { throw ValidationError("give either --from KEY or --remove") }
    if let lower, let upper, upper <= lower {
      throw ValidationError("--to must come after --from")
    }
  }

  func run() async throws {
    let span = lower.map { KeySpan(unchecked: $0, upper) }
    try await catalog.submit(
      try write.command(.membership(.setPromotionPolicy(name, span))), output: output)
  }
}

struct MembersDeclareLostCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "declare-lost",
    abstract: "Say that a region is lost, where its judges cannot: its epoch rises.")

  @Option(help: ArgumentHelp("The region.", valueName: "name"), transform: parseRegion)
  var region: Region

  @OptionGroup var catalog: CatalogOptions
  @OptionGroup var write: WriteOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await catalog.submit(try write.command(.membership(.declareLost(region))), output: output)
  }
}
