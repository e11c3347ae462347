import ArgumentParser
import CadastreClient
import Catalog
import Etcd
import Replay

struct ClusterCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cluster",
    abstract: "See how members share a log on etcd, and move a catalog into a cluster and back.",
    discussion: """
      The log of a cluster is at --log etcd://HOST:PORT,HOST:PORT/CLUSTER. Each member keeps all of \
      it in a folder of its own; etcd holds what some member has not stored yet.

      A first cluster:
        cadastre cluster init ./a --log etcd://10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379/prod
        cadastre serve --log etcd://…/prod --folder ./a --member a --region home
        cadastre serve --log etcd://…/prod --folder ./b --member b --region home
      """,
    subcommands: [
      ClusterInitCommand.self, ClusterStatusCommand.self, ClusterMembersCommand.self,
      ClusterDoctorCommand.self, ClusterLeaderCommand.self, ClusterAdoptCommand.self,
      ClusterLeaveCommand.self, ClusterBackupCommand.self, ClusterRestoreCommand.self,
    ])
}

/// Which cluster is meant, and how etcd is reached.
struct ClusterStreamOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("The cluster's log.", valueName: "etcd://host:port,…/cluster"))
  var log: String

  @OptionGroup var access: EtcdOptionsGroup

  func stream() throws -> EtcdStream {
    guard let access = try access.access(log) else {
      throw ValidationError(
        "\"\(log)\" is no cluster's log: write \(ClusterURL.scheme)HOST:PORT,HOST:PORT/CLUSTER")
    }
    return try openStream(access)
  }
}

struct ClusterStatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status",
    abstract: "Say who leads, where the log ends, and how far each member has stored it.",
    discussion: """
      Asks etcd alone: members need not answer. One that was silent for a while is not listed, and \
      does not hold the window back.

      Examples:
        cadastre cluster status --log etcd://127.0.0.1:2379/prod
      """)

  @OptionGroup var cluster: ClusterStreamOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let overview = try await ClusterOverview.read(cluster.stream())
    let (tail, leader, usage) = (overview.tail, overview.leader, overview.usage)
    var table = TextTable(
      .left("member"), .left("address"), .left("role"), .right("stored"), .right("behind"))
    for member in overview.members {
      table.add(
        member.member.name.name, member.member.address,
        overview.role(of: member), grouped(member.storedThrough.rawValue),
        grouped(overview.lag(of: member)))
    }
    let text = """
      catalog   \(overview.catalog)
      leader    \(leader.map { "\($0.member.name) at \($0.member.address), term \($0.term)" } ?? "nobody")
      version   \(tail.version)
      position  \(tail.position)
      window    \(overview.window)
      etcd      \(usage.map { "\(grouped($0.used)) bytes in use" } ?? "unknown")

      """
    output.write(
      [
        "catalog": .string("\(overview.catalog)"),
        "leader": JSON(leader.map { $0.member.name.name }),
        "leader_address": JSON(leader.map(\.member.address)),
        "term": JSON(leader?.term.rawValue),
        "version": .number(tail.version.rawValue), "position": .number(tail.position.rawValue),
        "trimmed_through": .number(overview.trimmedThrough.rawValue),
        "etcd_bytes_in_use": JSON(usage?.used),
        "members": .array(
          overview.members.map {
            [
              "name": .string($0.member.name.name), "address": .string($0.member.address),
              "stored_through": .number($0.storedThrough.rawValue),
            ]
          }),
      ],
      else: text + table.text(style: StandardStream.output.style))
  }
}

struct ClusterLeaveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "leave",
    abstract: "Move a cluster's catalog back to one folder, which is served alone from then on.",
    discussion: """
      All members have to be stopped, and the folder's log to end where the cluster's does: every \
      entry, hash and version stays. The cluster's log is removed from etcd, so that no other member \
      goes on with it.

      Examples:
        cadastre cluster leave ./catalog --log etcd://127.0.0.1:2379/prod
        cadastre serve --log ./catalog --region home
      """)

  @Argument(help: ArgumentHelp("The folder of a member.", valueName: "dir"), transform: parsePath)
  var folder: String

  @OptionGroup var cluster: ClusterStreamOptions

  @Flag(
    help: """
      The cluster's log is not there any more, and no member will go on with it: a command that \
      was cut off has removed it, or etcd is lost.
      """)
  var logIsGone = false

  @OptionGroup var output: OutputOptions

  func run() async throws {
    let stream = try cluster.stream()
    do {
      let log = try EventLog.open(folder: folder, mode: .readWrite)
      defer { log.releaseForWriting() }
      guard try log.keeper() == .cluster(stream.name) else {
        throw Problem.notAMember(folder, of: stream.name)
      }
      let tail = try log.tail()
      if try await stream.catalog() != nil {
        if let leader = try await stream.leader() {
          throw Problem(
            .refused, code: "cluster-is-led",
            "\(leader.member.name) at \(leader.member.address) leads cluster \(stream.name)",
            help: "stop its members first; one that was killed is forgotten in a few seconds")
        }
        try await stream.remove(endingWith: tail)
      } else if !logIsGone {
        throw SharedStreamError.missing(stream.name)
      }
      try log.setKeeper(.leader)
      output.write(
        [
          "catalog": .string("\(log.catalog)"), "position": .number(tail.position.rawValue),
          "hash": .string("\(tail.hash)"), "version": .number(tail.version.rawValue),
        ],
        else: "\(folder) is a catalog of its own again, at entry \(tail.position), version "
          + "\(tail.version)\n")
    } catch let error as SharedStreamError {
      if case .elsewhere(let here, let there) = error {
        throw Problem(
          .refused, code: "other-end",
          "\(folder) ends with entry \(here.position), and cluster \(stream.name) with entry "
            + "\(there.position)",
          help: "serve the folder as a member until it has all, or name the folder of one that has")
      }
      throw StoreError.stream(stream.name, error)
    }
  }
}
