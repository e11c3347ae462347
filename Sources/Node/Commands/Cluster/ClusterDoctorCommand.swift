import ArgumentParser
import CadastreClient
import Catalog
import Etcd
import Replay

struct ClusterDoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Examine a cluster, and say what is wrong and what to do about it.",
    discussion: """
      Asks every etcd server that --log names, the cluster's log there, and every member at the \
      address that it told etcd. Changes nothing. Ends with status 1 when something is wrong; a \
      warning alone does not count.

      Examples:
        cadastre cluster doctor --log etcd://etcd-1:2379,etcd-2:2379,etcd-3:2379/prod
      """)

  @OptionGroup var cluster: ClusterStreamOptions
  @OptionGroup var security: ConnectionSecurityOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let stream = try cluster.stream()
    var findings = ClusterFindings()
    findings.examine(servers: await stream.client.memberVersions())
    let connection = try security.connection()
    do {
      let overview = try await ClusterOverview.read(stream)
      findings.examine(overview, window: WindowPolicy())
      findings.examine(await MemberAnswers.ask(overview.members, connection), of: overview)
    } catch {
      let problem = Problem(error)
      findings.add("log", .wrong, problem.message, remedy: problem.help ?? "")
    }
    let wrong = findings.count(of: .wrong)
    output.write(
      [
        "cluster": .string(stream.name), "wrong": JSON(wrong),
        "warnings": JSON(findings.count(of: .warning)), "findings": findings.json,
      ], else: findings.text(style: StandardStream.output.style))
    guard wrong == 0 else {
      throw Problem(
        .failed, code: "cluster-unwell",
        "\(wrong) of \(findings.all.count) checks of cluster \(stream.name) failed",
        help: "each says above what to do about it")
    }
  }
}

/// What an examination of a cluster found.
struct ClusterFindings: Sendable {
  enum Verdict: String, Sendable {
    case good = "ok"
    /// All works, with less in reserve than it should have.
    case warning
    case wrong
  }

  struct Finding: Sendable {
    /// What was looked at.
    var subject: String
    var verdict: Verdict
    /// What was found.
    var finding: String
    /// What to do about it; empty where it is good.
    var remedy = ""
  }

  private(set) var all: [Finding] = []

  mutating func add(
    _ subject: String, _ verdict: Verdict, _ finding: String, remedy: String = ""
  ) {
    all.append(Finding(subject: subject, verdict: verdict, finding: finding, remedy: remedy))
  }

  func count(of verdict: Verdict) -> Int { all.count { $0.verdict == verdict } }

  // MARK: - Examining

  /// Looks at the servers that the address of the log names, with what each said of its release.
  mutating func examine(
    servers: [(address: NodeAddress, version: Result<String, SharedStreamError>)]
  ) {
    let silentCount = servers.count { (try? $0.version.get()) == nil }
    let isLost = silentCount * 2 >= servers.count && silentCount > 0
    for server in servers {
      let subject = "etcd \(server.address)"
      switch server.version {
      case .success(let version): add(subject, .good, "answers, release \(version)")
      case .failure(let error):
        let problem = Self.problem(of: error)
        add(
          subject, isLost ? .wrong : .warning,
          problem.text + (isLost ? ": too few of those named answer" : ""), remedy: problem.remedy)
      }
    }
    if servers.count == 1 {
      add(
        "etcd", .warning, "--log names one server alone",
        remedy: "name all of them; three or five survive the loss of one or two")
    }
  }

  /// Why a server does not say of which release it is.
  private static func problem(of error: SharedStreamError) -> (text: String, remedy: String) {
    switch error {
    case .refused, .untrusted: (error.problem, error.remedy)
    case .deposed, .elsewhere, .outcomeUnknown, .unavailable, .windowFull, .trimmed, .missing,
      .exists, .damaged:
      ("does not answer", "look whether it runs, and can be reached from here")
    }
  }

  /// Looks at what etcd knows of the log and its members.
  mutating func examine(_ overview: ClusterOverview, window: WindowPolicy) {
    add(
      "log", .good,
      "catalog \(overview.catalog) through entry \(overview.tail.position), "
        + "\(overview.window) at etcd")
    if let leader = overview.leader {
      add("leader", .good, "\(leader.member.name) leads, term \(leader.term)")
    } else {
      add(
        "leader", .wrong, "nobody leads: no command is carried out",
        remedy: overview.members.isEmpty
          ? "start members" : "wait a few seconds, then read the members' logs")
    }
    if overview.members.count == 1 {
      add(
        "members", .warning, "one member alone: when it is gone nobody serves",
        remedy: "start another with serve --log and a --member name of its own")
    }
    for member in overview.members where overview.lag(of: member) > window.limit / 2 {
      let lag = overview.lag(of: member)
      add(
        "window", lag > window.limit ? .wrong : .warning,
        "\(member.member.name) has \(grouped(lag)) entries yet to store, of at most "
          + "\(grouped(window.limit)) before commands are refused",
        remedy: "look what holds it up, or stop it: it is not waited for then")
    }
    if let usage = overview.usage {
      let share = usage.quota == 0 ? 0 : Double(usage.used) / Double(usage.quota)
      let verdict: Verdict = share > 0.95 ? .wrong : share > 0.8 ? .warning : .good
      add(
        "etcd space", verdict,
        "\(grouped(usage.used)) of \(grouped(usage.quota)) bytes in use",
        remedy: verdict == .good
          ? "" : "see who holds the window back, or give etcd more with --quota-backend-bytes")
    }
  }

  /// Looks at what members said of themselves, in the order of the overview.
  mutating func examine(_ answers: MemberAnswers, of overview: ClusterOverview) {
    var digests: [CatalogVersion: (digest: StateDigest, member: String)] = [:]
    for (member, answer) in zip(overview.members, answers.answers) {
      let subject = "member \(member.member.name)"
      let status: NodeStatus
      switch answer {
      case .success(let given): status = given
      case .failure(let error):
        add(
          subject, .wrong, "does not answer at \(member.member.address): \(error)",
          remedy: "look whether it can be reached from here, and asks for TLS or a token")
        continue
      }
      guard status.catalog == overview.catalog else {
        add(
          subject, .wrong,
          "\(member.member.address) serves catalog \(status.catalog), not the cluster's",
          remedy: "give the member an address of its own with --advertise")
        continue
      }
      if let other = digests[status.version], other.digest != status.digest {
        add(
          subject, .wrong,
          "shows another digest at version \(status.version) than \(other.member)",
          remedy: "run cadastre verify on the folders of both; a damaged one is made anew from "
            + "the other")
        continue
      }
      digests[status.version] = (status.digest, member.member.name.name)
      if status.condition.isEmpty {
        add(subject, .good, "answers, version \(status.version)")
      } else {
        add(
          subject, .wrong, status.condition, remedy: "run cadastre repair on its folder")
      }
      for warning in status.warnings { add(subject, .warning, warning) }
    }
  }

  // MARK: - Writing

  var json: JSON {
    .array(
      all.map {
        [
          "subject": .string($0.subject), "verdict": .string($0.verdict.rawValue),
          "finding": .string($0.finding), "remedy": .string($0.remedy),
        ]
      })
  }

  /// A line for each finding, and one for each remedy.
  func text(style: TerminalStyle) -> String {
    var text = ""
    for finding in all {
      let label = finding.verdict.rawValue.padded(to: 8)
      let mark = finding.verdict == .wrong ? style.red(label) : label
      text += "\(mark) \(finding.subject): \(finding.finding)\n"
      if !finding.remedy.isEmpty {
        text += String(repeating: " ", count: 9) + finding.remedy + "\n"
      }
    }
    return text
  }
}

extension String {
  fileprivate func padded(to width: Int) -> String {
    self + String(repeating: " ", count: max(0, width - count))
  }
}
