import BenchSupport
import Catalog
import Glibc
import Replay
import StateMachines

/// Measures the log, the store and the replayer, and prints a line of JSON for each figure.
@main
struct LogBench {
  static let usage = """
    usage: log-bench [append] [submit] [replay] [history] [regions] [recovery] [ack] [readers]
                     [--folder FOLDER] [--routes N]
                     [--entries N] [--keep FILE] [--quick]

      append   durable appends of single splits, 1, 100 and 1,000 in a commit
      submit   commands from 1 to 1,024 clients at once
      replay   entries of one split, and of 1,000, over a bootstrap of --routes routes
      history  checkpoints, starts, questions about the past and verification, with --entries
               versions, one split each, over --routes routes
      regions  renewals of 100,000 groups, led in one step and in 100,000, and timestamps; only when
               it is named
      ack      --entries commands (3,000) over --routes routes, each sent when the one before has its
               answer; only when it is named
      readers  lookups by 1 to --readers threads at once while a writer publishes, and while none
               does; only when it is named
      recovery from the loss of a region with --routes routes to all of them being promoted

      --folder FOLDER  where the logs go, on the disk to be measured; removed afterwards
      --routes N       routes of the replay's bootstrap, 1,000,000
      --entries N      splits of the replay, 500,000; versions of the history, 100,000
      --readers N      2
      --quick          a tenth of the groups and of the time, for the regions
      --keep FILE      writes the appended entries there, for Benchmarks/c/lmdb_append.c
    """

  var folder = "/tmp/cadastre-log-bench.\(getpid())"
  var routeCount = 1_000_000
  var entryCount: Int?
  var keepPath: String?
  var isQuick = false
  var modes: [String] = []
  var readerCount = 2

  static func main() {
    do {
      var bench = LogBench()
      try bench.parse()
      try bench.run()
    } catch {
      print("log-bench: \(error)\n\(usage)")
      exit(1)
    }
  }

  private mutating func parse() throws {
    var arguments = CommandLine.arguments.dropFirst()
    while let argument = arguments.popFirst() {
      switch argument {
      case "append", "submit", "replay", "history", "regions", "recovery", "ack", "readers":
        modes.append(argument)
      case "--folder": folder = arguments.popFirst() ?? folder
      case "--readers": readerCount = arguments.popFirst().flatMap { Int($0) } ?? readerCount
      case "--quick": isQuick = true
      case "--keep": keepPath = arguments.popFirst()
      case "--routes": routeCount = arguments.popFirst().flatMap { Int($0) } ?? routeCount
      case "--entries": entryCount = arguments.popFirst().flatMap { Int($0) }
      default: throw UsageError(argument: argument)
      }
    }
    if modes.isEmpty { modes = ["append", "submit", "replay", "history", "recovery"] }
  }

  private func run() throws {
    defer { removeFolder(folder) }
    if modes.contains("append") { try appendBench() }
    if modes.contains("submit") { try submitBench() }
    if modes.contains("ack") { try acknowledgementBench() }
    if modes.contains("readers") {
      let bench = try ReaderBench(folder: "\(folder)/readers", routeCount: routeCount)
      bench.run(readers: max(1, readerCount), each: .seconds(2))
    }
    if modes.contains("replay") { try replayBench() }
    if modes.contains("regions") { try regionBench() }
    if modes.contains("history") {
      var bench = HistoryBench(
        folder: "\(folder)/history", routeCount: routeCount, versionCount: entryCount ?? 100_000)
      try bench.run()
    }
    if modes.contains("recovery") {
      var bench = RecoveryBench(folder: "\(folder)/recovery", routeCount: routeCount)
      try bench.run()
    }
  }

  private func regionBench() throws {
    let groups: UInt64 = isQuick ? 10_000 : 100_000
    for commands in [1, groups] {
      let bench = try RegionBench(folder: "\(folder)/region-\(commands)")
      try bench.run(groups: groups, commands: commands, seconds: isQuick ? 2 : 20)
      try bench.timestamps(isQuick: isQuick)
    }
  }

  // MARK: Appending

  private func appendBench() throws {
    var maker = try EntryMaker(routeCount: 1_000)
    var kept: [UInt8] = []
    for (batch, commits) in [(1, 3_000), (100, 1_500), (1_000, 300)] {
      let path = "\(folder)/append-\(batch)"
      let log = try EventLog.create(folder: path, catalog: EntryMaker.catalog)
      try log.install(base: maker.state)
      let batches = try (0..<commits).map { _ in try maker.splits(count: batch) }
      var times = Latencies()
      let start = Start()
      for entries in batches {
        let before = now()
        try log.append(entries)
        times.add(now() - before)
      }
      report(
        "log.append", ["batch": batch, "commits": commits], count: batch * commits,
        unit: "records", since: start, times)
      for entry in batches.joined() {
        withUnsafeBytes(of: UInt32(entry.bytes.count).littleEndian) { kept += $0 }
        kept += entry.bytes
      }
    }
    if let keepPath { try write(kept, to: keepPath) }
  }

  private func submitBench() throws {
    let path = "\(folder)/submit"
    let store = try CatalogStore.create(
      folder: path, catalog: EntryMaker.catalog, wallMilliseconds: wallMilliseconds)
    try submit(EntryMaker.bootstrap(routeCount: routeCount), to: store)
    var number = 1
    for (clients, commands) in [(1, 2_000), (16, 20_000), (256, 100_000), (1_024, 200_000)] {
      let run = ClientRun(store: store, first: number, count: commands)
      number += commands
      let start = Start()
      let times = run.run(clients: clients)
      report(
        "store.submit", ["clients": clients], count: commands, unit: "commands",
        since: start, times)
    }
    store.close()
  }

  /// From submission to acknowledgement where nothing else goes on.
  private func acknowledgementBench() throws {
    let store = try CatalogStore.create(
      folder: "\(folder)/ack", catalog: EntryMaker.catalog, wallMilliseconds: wallMilliseconds)
    try submit(EntryMaker.bootstrap(routeCount: routeCount), to: store)
    // The checkpoint of the bootstrap is not what is measured.
    _ = try store.checkpointNow()
    let (count, start) = (entryCount ?? 3_000, Start())
    let times = ClientRun(store: store, first: 1, count: count).run(clients: 1)
    report(
      "store.ack", ["routes": routeCount], count: count, unit: "commands", since: start, times)
    store.close()
  }

  // MARK: Replaying

  private func replayBench() throws {
    let entryCount = entryCount ?? 500_000
    for (perEntry, label) in [(1, "single splits"), (1_000, "batches of 1,000 splits")] {
      let path = "\(folder)/replay-\(perEntry)"
      let log = try EventLog.create(folder: path, catalog: EntryMaker.catalog)
      var maker = try EntryMaker(routeCount: routeCount, log: log)
      let entries = entryCount / perEntry
      for start in stride(from: 0, to: entries, by: 10_000 / perEntry) {
        let count = min(10_000 / perEntry, entries - start)
        try log.append(try (0..<count).map { _ in try maker.split(count: perEntry) })
      }
      var bootstrap = try log.start()
      let start = Start()
      try Replayer(log).replay(onto: &bootstrap, through: LogPosition(1))
      report(
        "replay.bootstrap", [:], count: routeCount, unit: "routes",
        since: start, nil)
      for _ in 0..<3 {
        var state = bootstrap
        let start = Start()
        try Replayer(log).replay(onto: &state)
        report(
          "replay", ["entries": entries, "shape": label], count: entries * perEntry,
          unit: "events", since: start, nil)
        guard state.digest == maker.state.digest else { throw UsageError(argument: "digest") }
      }
      let target = try EventLog.create(folder: path + "-mirror", catalog: EntryMaker.catalog)
      let rebuildStart = Start()
      try Replayer(log).rebuild(target)
      report(
        "rebuild", ["entries": entries, "shape": label, "routes": routeCount],
        count: entries * perEntry, unit: "events", since: rebuildStart, nil)
      let verifyStart = Start()
      _ = try Verifier(log).verify()
      report(
        "verify", ["entries": entries, "shape": label, "routes": routeCount],
        count: entries * perEntry, unit: "events", since: verifyStart, nil)
    }
  }
}

struct UsageError: Error {
  var argument: String
}
