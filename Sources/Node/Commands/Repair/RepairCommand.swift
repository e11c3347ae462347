import ArgumentParser
import CadastreClient
import Catalog
import Foundation
import NIOPosix
import Replay

struct RepairCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "repair",
    abstract: "Mend a damaged log from a peer, and prove all of it.",
    discussion: """
      Walks the hash chain from the log's end to its beginning; asks the peer for the entries that are \
      missing or not what was written, and for no others; proves each against the chain, makes the \
      indexes anew, and puts a new file in the place of the damaged one, which is kept beside it. \
      Checkpoints that are damaged are made anew from the log. Nothing is changed unless all of it is \
      proven. A file that is of no use at all is made anew from the peer.

      The peer is a server or a folder with the same catalog. Stop the node that writes the folder \
      first.

      Examples:
        cadastre repair --log ./catalog --from 127.0.0.1:4711 --dry-run
        cadastre repair --log ./catalog --from ./mirror
      """)

  @OptionGroup var folder: FolderOptions

  @Option(
    help: ArgumentHelp(
      "The peer: HOST:PORT of a server, or the folder of a log.", valueName: "peer"))
  var from: String

  @Flag(help: "Say what is damaged and would be fetched, and change nothing.")
  var dryRun = false

  @OptionGroup(title: "Security (with a server)") var security: ConnectionSecurityOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let (folder, from, dryRun) = (try folder.folder(), from, dryRun)
    let peer: any RepairPeer & Sendable
    do {
      peer = try Self.peer(from, try security.connection())
    } catch {
      throw Problem(describing: error)
    }
    let bar = ReplayBar("proving")
    defer { bar.finish() }
    let report: RepairReport
    do {
      // It waits for calls: not on a thread that tasks run on.
      report = try await NIOThreadPool.singleton.runIfActive {
        var repairer = Repairer(folder: folder, from: peer)
        repairer.onProgress = bar.update
        return try repairer.repair(dryRun: dryRun)
      }
    } catch let error as StoreError {
      throw Problem(error)
    }
    bar.finish()
    let outcome = RepairOutcome(report: report, peer: peer.name, isDryRun: dryRun)
    output.write(outcome.json, else: outcome.text)
  }

  /// What is a folder is one; everything else is an address.
  private static func peer(
    _ text: String, _ connection: ConnectionOptions
  ) throws -> any RepairPeer & Sendable {
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: text, isDirectory: &isFolder), isFolder.boolValue {
      return try FolderPeer(folder: text)
    }
    return ServerPeer(address: try parseAddress(text), connection: connection)
  }
}

/// What a repair found and did.
private struct RepairOutcome {
  var report: RepairReport
  var peer: String
  var isDryRun: Bool

  var json: JSON {
    [
      "dry_run": .bool(isDryRun),
      "sound": .bool(report.isSound),
      "peer": .string(peer),
      "lost_file": JSON(report.lostFile),
      "damaged_entries": .array(
        report.damagedEntries.map { ["first": JSON($0.lowerBound), "last": JSON($0.upperBound)] }),
      "other_damage": JSON(report.otherDamage),
      "lost_checkpoints": JSON(report.lostCheckpoints),
      "damaged_checkpoints": .array(report.damagedCheckpoints.map { JSON($0) }),
      "remade_checkpoints": .array(report.remadeCheckpoints.map { JSON($0) }),
      "fetched_entries": .number(report.fetchedEntryCount),
      "fetched_bytes": JSON(report.fetchedByteCount),
      "fetched_base": .bool(report.hasFetchedBase),
      "fetched_routes": .number(report.fetchedRouteCount),
      "head_of_peer": .bool(report.hasHeadOfPeer),
      "set_aside": JSON(report.setAside),
      "proven": report.summary.map(Self.json) ?? .null,
    ]
  }

  private static func json(_ summary: LogSummary) -> JSON {
    [
      "first_position": JSON(summary.first), "position": JSON(summary.last),
      "version": JSON(summary.version), "digest": .string(summary.digest.description),
      "head_hash": .string(summary.headHash.description),
    ]
  }

  var text: String {
    var facts = FactList()
    if report.isSound { facts.add("damage", "none") }
    if let lost = report.lostFile { facts.add("lost", lost) }
    for range in report.damagedEntries.prefix(20) {
      facts.add(
        "damaged",
        range.lowerBound == range.upperBound
          ? "entry \(range.lowerBound)" : "entries \(range.lowerBound) to \(range.upperBound)")
    }
    if report.damagedEntries.count > 20 {
      facts.add("damaged", "and \(grouped(report.damagedEntries.count - 20)) more spans of entries")
    }
    if let other = report.otherDamage { facts.add("damaged", other) }
    if let lost = report.lostCheckpoints { facts.add("lost", "the checkpoints: \(lost)") }
    if !report.damagedCheckpoints.isEmpty {
      facts.add("damaged", "the checkpoints of " + Self.list(report.damagedCheckpoints))
    }
    if report.fetchedEntryCount > 0 {
      facts.add(
        isDryRun ? "to be fetched" : "fetched",
        "\(grouped(report.fetchedEntryCount)) entries, \(grouped(report.fetchedByteCount)) bytes, "
          + "from \(peer)")
    }
    if report.hasFetchedBase {
      facts.add(
        "fetched",
        "\(grouped(report.fetchedRouteCount)) routes of the state that the log begins after")
    }
    if report.lostFile != nil {
      facts.add("note", "the folder is a mirror now: to lead from it, cadastre serve --promote")
    }
    if report.hasHeadOfPeer {
      facts.add("note", "where the log ends is known from \(peer) alone")
    }
    if !report.remadeCheckpoints.isEmpty {
      facts.add("made anew", "the checkpoints of " + Self.list(report.remadeCheckpoints))
    }
    if let aside = report.setAside { facts.add("kept", "the damaged file: \(aside)") }
    if let summary = report.summary {
      facts.add("proven", "entries \(summary.first) to \(summary.last), every digest, the indexes")
      facts.add("version", summary.version)
      facts.add("head hash", "\(summary.headHash) at position \(summary.last)")
    }
    return facts.text(style: StandardStream.output.style)
  }

  private static func list(_ versions: [CatalogVersion]) -> String {
    let shown = versions.prefix(10).map { "\($0)" }.joined(separator: ", ")
    return "versions " + shown + (versions.count > 10 ? " and more" : "")
  }
}
