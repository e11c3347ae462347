import ArgumentParser
import Catalog
import Foundation
import Replay
import StateMachines

struct ReplayCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replay",
    abstract: "Fold a log from its start, proving every entry; rebuild a mirror with it.",
    discussion: """
      Checks the hash chain and the digest after each entry. Into memory it tells where the log \
      leads. With --into it writes the proven entries to another folder, which a learner can then be \
      started on; a work that was broken off goes on where it stopped. Works beside a server that \
      writes the log.

      Examples:
        cadastre replay --from ./catalog
        cadastre replay --from ./catalog --into ./mirror
      """)

  @Option(
    help: ArgumentHelp("The folder of the log.", valueName: "dir"), transform: parsePath)
  var from: String

  @Option(
    help: ArgumentHelp("The folder of the mirror; made where there is none.", valueName: "dir"),
    transform: parsePath)
  var into: String?

  @OptionGroup var output: OutputOptions

  func validate() throws {
    func resolved(_ path: String) -> URL { URL(filePath: path).resolvingSymlinksInPath() }
    if let into, resolved(into) == resolved(from) {
      throw ValidationError("--from and --into name the same folder")
    }
  }

  func run() async throws {
    let start = NodeClock.system.now()
    let outcome: ReplayOutcome
    do {
      outcome = try replay(try EventLog.open(folder: from, mode: .readOnly))
    } catch {
      throw Problem(error)
    }
    let elapsed = (NodeClock.system.now() - start).inSeconds
    output.write(outcome.json(seconds: elapsed, into: into), else: outcome.text(seconds: elapsed))
  }

  private func replay(_ log: EventLog) throws(StoreError) -> ReplayOutcome {
    let bar = ReplayBar(into == nil ? "replaying" : "rebuilding")
    defer { bar.finish() }
    var (entries, changes) = (0, 0)
    var replayer = Replayer(log)
    replayer.onProgress = bar.update
    replayer.isCancelled = { Task.isCancelled }
    replayer.onEntry = { _, entry in
      entries += 1
      changes += entry.changeCount
    }
    let state: CatalogState
    if let into {
      let mirror = try openMirror(in: into, of: log.catalog)
      defer { mirror.releaseForWriting() }
      state = try replayer.rebuild(mirror)
    } else {
      state = try replayer.replay()
    }
    return ReplayOutcome(state: state, entries: entries, changes: changes)
  }

  /// The log to write to: a new one, or one that was begun before.
  private func openMirror(
    in folder: String, of catalog: CatalogID
  ) throws(StoreError) -> EventLog {
    do {
      return try EventLog.open(folder: folder, mode: .readWrite)
    } catch .noLog {
      return try EventLog.create(folder: folder, catalog: catalog)
    }
  }
}

extension LogEntry {
  /// How many changes the entry made; a route of the bootstrap is one.
  var changeCount: Int {
    events.reduce(0) { count, event in
      if case .routesBootstrapped(let seeds) = event { return count + seeds.count }
      return event.changesRoutes ? count + 1 : count
    }
  }
}

/// Where a replay led.
private struct ReplayOutcome {
  var state: CatalogState
  var entries: Int
  var changes: Int

  func json(seconds: Double, into folder: String?) -> JSON {
    [
      "catalog": .string(state.catalog.description),
      "version": JSON(state.version),
      "position": JSON(state.appliedThrough),
      "routes": JSON(state.routes.count),
      "digest": .string(state.digest.description),
      "head_hash": .string(state.lastHash.description),
      "entries": JSON(entries),
      "changes": JSON(changes),
      "seconds": .decimal(seconds),
      "into": JSON(folder),
    ]
  }

  func text(seconds: Double) -> String {
    var facts = FactList()
    facts.add("version", state.version)
    facts.add("position", state.appliedThrough)
    facts.add("routes", grouped(state.routes.count))
    facts.add("digest", state.digest)
    facts.add("head hash", state.lastHash)
    let rate = seconds > 0 ? shortened(Double(changes) / seconds) : "many"
    let time = (seconds * 1000).rounded() / 1000
    facts.add(
      "replayed",
      "\(grouped(entries)) entries, \(grouped(changes)) changes in \(time) s (\(rate) changes/s)")
    return facts.text(style: StandardStream.output.style)
  }
}
