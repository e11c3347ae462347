import ArgumentParser
import CadastreClient
import Catalog
import Replay

struct ClusterMembersCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "members",
    abstract: "Ask each member how it is: its version, and what is wrong with it.",
    discussion: """
      Who the members are, and how far each has stored the log, is what etcd knows; the rest each \
      member says itself, at the address that it told etcd. A member that does not answer is listed \
      with the reason.

      Examples:
        cadastre cluster members --log etcd://127.0.0.1:2379/prod
        cadastre cluster members --log etcd://etcd-1:2379/prod --etcd-ca etcd.pem --ca nodes.pem
      """)

  @OptionGroup var cluster: ClusterStreamOptions
  @OptionGroup var security: ConnectionSecurityOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let overview = try await ClusterOverview.read(cluster.stream())
    let answers = await MemberAnswers.ask(overview.members, try security.connection()).answers
    var table = TextTable(
      .left("member"), .left("address"), .left("role"), .left("region"), .right("version"),
      .right("behind"), .left("state"))
    for (member, answer) in zip(overview.members, answers) {
      let status = try? answer.get()
      table.add(
        member.member.name.name, member.member.address, overview.role(of: member),
        status?.region ?? "", status.map { "\($0.version)" } ?? "",
        grouped(overview.lag(of: member)), answer.state)
    }
    output.write(
      [
        "catalog": .string("\(overview.catalog)"), "position": JSON(overview.tail.position),
        "members": .array(
          zip(overview.members, answers).map { json(of: $0, $1, in: overview) }),
      ],
      else: table.text(style: StandardStream.output.style))
  }

  private func json(
    of member: MemberProgress, _ answer: Result<NodeStatus, NodeError>, in overview: ClusterOverview
  ) -> JSON {
    let status = try? answer.get()
    return [
      "name": .string(member.member.name.name), "address": .string(member.member.address),
      "role": .string(overview.role(of: member)),
      "stored_through": JSON(member.storedThrough), "behind": .number(overview.lag(of: member)),
      "answers": .bool(status != nil), "state": .string(answer.state),
      "region": JSON(status?.region), "version": JSON(status?.version.rawValue),
      "digest": JSON(status.map { "\($0.digest)" }),
      "uptime_ms": JSON(status?.uptime.wholeMilliseconds),
    ]
  }
}

extension Result<NodeStatus, NodeError> {
  /// How a member is, in a few words.
  fileprivate var state: String {
    switch self {
    case .success(let status) where !status.condition.isEmpty: status.condition
    case .success: "up"
    case .failure(let error): "no answer: \(error)"
    }
  }
}
