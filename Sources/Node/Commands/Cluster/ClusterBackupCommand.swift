import ArgumentParser
import CadastreClient
import Catalog
import Etcd
import Replay

struct ClusterBackupCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backup",
    abstract: "Write all that the cluster decided until now into one file that vouches for itself.",
    discussion: """
      Reads a member's folder on this machine, while the member serves, once the member has stored \
      what the cluster's log ends with when the command begins: a command that was acknowledged \
      before is in the backup. Every entry is proven on the way. The streams of regions are not part \
      of it.

      Examples:
        cadastre cluster backup ./a --out prod.backup --log etcd://127.0.0.1:2379/prod
      """)

  /// How long the member may take to store what the log ends with.
  private static let patience: Duration = .seconds(30)

  @Argument(help: ArgumentHelp("The folder of a member.", valueName: "dir"), transform: parsePath)
  var folder: String

  @Option(help: ArgumentHelp("The file to write.", valueName: "file"), transform: parsePath)
  var out: String

  @OptionGroup var cluster: ClusterStreamOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let log = try EventLog.open(folder: folder, mode: .readOnly)
    let stream = try cluster.stream()
    guard try log.keeper() == .cluster(stream.name) else {
      throw Problem.notAMember(folder, of: stream.name)
    }
    let tail: LogTail
    do {
      tail = try await stream.tail()
    } catch {
      throw StoreError.stream(stream.name, error)
    }
    try await wait(for: tail, in: log)
    let outcome = try AuditExportCommand.export(to: out) { () throws(StoreError) in log }
    output.write(
      outcome.manifest.json.adding([
        "file": .string(out), "bytes": .number(outcome.byteCount),
        "cluster": .string(stream.name),
      ]),
      else: outcome.manifest.text(
        "backed up", [("file", "\(out), \(grouped(outcome.byteCount)) bytes")]))
  }

  /// Waits until the member has stored what the cluster's log ends with.
  private func wait(for tail: LogTail, in log: EventLog) async throws {
    let clock = ContinuousClock()
    let due = clock.now + Self.patience
    while try log.lastPosition() < tail.position {
      guard clock.now < due else {
        throw Problem(
          .unavailable, code: "behind",
          "\(folder) ends with entry \(try log.lastPosition()), and the cluster's log with entry "
            + "\(tail.position)",
          help:
            "serve the member, or name the folder of one that has all; audit export writes what "
            + "this one has")
      }
      try await Task.sleep(for: .milliseconds(20))
    }
  }
}

struct ClusterRestoreCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "restore",
    abstract: "Make a cluster anew of a backup, and the folder of its first member.",
    discussion: """
      For when all members' folders are lost: where one is left, serve it, or cluster adopt it. What \
      was decided after the backup is lost, and its versions are given again, to other changes. The \
      backup is proven first; a cluster that is there, or a folder that is, is left alone.

      Examples:
        cadastre cluster restore prod.backup --into ./a --log etcd://127.0.0.1:2379/prod
        cadastre serve --log etcd://127.0.0.1:2379/prod --folder ./a --member a --region home
      """)

  @Argument(help: ArgumentHelp("The backup.", valueName: "file"), transform: parsePath)
  var file: String

  @Option(
    help: ArgumentHelp("The folder to make.", valueName: "dir"), transform: parsePath)
  var into: String

  @OptionGroup var cluster: ClusterStreamOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let stream = try cluster.stream()
    try await stream.checkMissing()
    let manifest = try AuditRestoreCommand.restore(file, into: into)
    let member = try await MemberLog.adopt(into, into: stream, takesMirrors: true)
    output.write(
      manifest.json.adding(["folder": .string(into)]).adding(member.json),
      else: manifest.text("restored", [("folder", into)]) + member.text)
  }
}

extension Problem {
  static func notAMember(_ folder: String, of cluster: String) -> Problem {
    Problem(
      .refused, code: "not-a-member", "\(folder) is not the log of a member of cluster \(cluster)",
      help: "name the folder that was served with --folder")
  }
}
