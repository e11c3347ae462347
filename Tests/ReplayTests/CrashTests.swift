import Catalog
import CrashPlan
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Replay

/// Real processes, killed at random moments. `CADASTRE_SEED` repeats the rounds of one seed.
@Suite(.serialized) struct CrashTests {
  /// How many processes are killed while they write.
  static let roundCount = 120
  static let checkpointRoundCount = 24

  static let program = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    .deletingLastPathComponent().appending(path: "CrashWriter")

  /// Opens a log for reading; nil when there is none yet.
  func reader(of folder: String) throws(StoreError) -> EventLog? {
    do throws(StoreError) {
      return try EventLog.open(folder: folder, mode: .readOnly)
    } catch {
      guard case .noLog = error else { throw error }
      return nil
    }
  }

  /// Runs the program, kills it after a delay, and gives back the lines that it wrote.
  func kill(
    after microseconds: Int, sinceLine: Int, _ arguments: [String]
  ) throws -> [String] {
    let process = try ChildProcess(CrashTests.program, arguments)
    if sinceLine > 0 { _ = process.lines(atLeast: sinceLine) }
    usleep(UInt32(microseconds))
    #expect(process.isRunning, "the program is to be killed, not to end: \(arguments)")
    process.signal(SIGKILL)
    let ended = process.wait()
    #expect(ended.status == -SIGKILL)
    // The last line may have been cut.
    return ended.output.split(separator: "\n").map(String.init)
  }

  /// Runs the program to its end; the lines that it wrote.
  func run(_ arguments: [String]) throws -> [String] {
    let ended = try ChildProcess(CrashTests.program, arguments).wait()
    #expect(ended.status == 0, "\(ended.errors)")
    return ended.output.split(separator: "\n").map(String.init)
  }

  @Test func acknowledgedCommandsSurviveExactlyOnce() throws {
    var generator = SeededGenerator(seed: testSeeds(count: 1)[0])
    var folder = TemporaryFolder()
    var known: [CommandID: LogPosition] = [:]
    var acknowledgedTotal = 0
    var awaitedTotal = 0
    for round in 0..<CrashTests.roundCount {
      // A new folder now and then, so that its making is killed too.
      if round % 12 == 0 { (folder, known) = (TemporaryFolder(), [:]) }
      let seed = UInt64.random(in: 1...UInt64(Int64.max), using: &generator)
      let threadCount = UInt64.random(in: 1...6, using: &generator)
      // From the start, from when the store is open, or from some acknowledgement on: a third each,
      // so that slow machines see commands acknowledged too.
      let sinceLine =
        switch round % 3 {
        case 0: 0
        case 1: 1
        default: 1 + Int.random(in: 1...8, using: &generator)
        }
      awaitedTotal += max(0, sinceLine - 1)
      let delay = Int.random(in: 0...(sinceLine == 0 ? 40_000 : 15_000), using: &generator)
      let lines = try kill(
        after: delay, sinceLine: sinceLine, ["write", folder.path, "\(seed)", "\(threadCount)"])
      let comment: Comment = "round \(round), seed \(seed), \(delay) us, \(threadCount) threads"
      acknowledgedTotal += try check(
        folder.path, lines, seed, threadCount, known: &known, comment)
    }
    #expect(acknowledgedTotal >= awaitedTotal, "what was read was counted")
  }

  /// Checks what a killed writer left, then sends again what it had no answer for. `known` is what
  /// the rounds before left. How many commands were acknowledged.
  private func check(
    _ folder: String, _ lines: [String], _ seed: UInt64, _ threadCount: UInt64,
    known: inout [CommandID: LogPosition], _ comment: Comment
  ) throws -> Int {
    var acknowledged: [CommandID: LogPosition] = [:]
    var counts = [UInt64](repeating: 0, count: Int(threadCount))
    for line in lines where line != "open" {
      let fields = line.split(separator: " ").compactMap { UInt64($0) }
      try #require(fields.count == 3, comment)
      let command = CrashPlan.command(seed: seed, thread: fields[0], number: fields[1])
      #expect(acknowledged.updateValue(LogPosition(fields[2]), forKey: command.id) == nil, comment)
      counts[Int(fields[0])] = fields[1] + 1
    }
    // Each thread had one command under way at most.
    let unanswered = (0..<threadCount).map { thread in
      CrashPlan.command(seed: seed, thread: thread, number: counts[Int(thread)])
    }
    guard let (contents, digest) = try contents(of: folder, comment) else {
      // Killed before there was anything.
      #expect(acknowledged.isEmpty && known.isEmpty, comment)
      return 0
    }
    for (command, position) in known { #expect(contents[command] == position, comment) }
    var written = contents.filter { known[$0.key] == nil }
    written[CrashPlan.bootstrap.id] = nil
    for (command, position) in acknowledged { #expect(written[command] == position, comment) }
    let sent = Set(acknowledged.keys).union(unanswered.map(\.id))
    #expect(Set(written.keys).isSubset(of: sent), comment)

    let store = try CatalogStore.open(folder: folder, wallMilliseconds: { 1_785_312_000_000 })
    #expect(store.current.digest == digest, comment)
    try CrashPlan.submit(CrashPlan.bootstrap, to: store) { _ in }
    for command in unanswered {
      let position = written[command.id]
      try CrashPlan.submit(command, to: store) { receipt in
        #expect(receipt.outcome == (position == nil ? .appended : .repeated), comment)
        if let position { #expect(receipt.position == position, comment) }
      }
    }
    store.close()
    known = try self.contents(of: folder, comment)?.0 ?? [:]
    return acknowledged.count
  }

  /// Where each command is in a log that verifies, and the digest at its end; nil when there is no
  /// log yet.
  private func contents(
    of folder: String, _ comment: Comment
  ) throws -> ([CommandID: LogPosition], StateDigest)? {
    guard let log = try reader(of: folder) else { return nil }
    let summary = try Verifier(log).verify()
    var commands: [CommandID: LogPosition] = [:]
    for encoded in try log.entries(from: LogPosition(1), maxCount: .max) {
      let previous = commands.updateValue(encoded.entry.position, forKey: encoded.entry.command)
      #expect(previous == nil, comment)
    }
    return (commands, summary.digest)
  }

  /// A root that is there is whole, whenever the process died; what a broken checkpoint left goes.
  @Test func checkpointsSurviveWholeOrNotAtAll() throws {
    var generator = SeededGenerator(seed: testSeeds(count: 1)[0])
    let folder = TemporaryFolder()
    var checked = 0
    for round in 0..<CrashTests.checkpointRoundCount {
      let seed = UInt64.random(in: 1...UInt64(Int64.max), using: &generator)
      let sinceLine = round % 3 == 0 ? 1 : Int.random(in: 1...12, using: &generator)
      let delay = Int.random(in: 0...12_000, using: &generator)
      let lines = try kill(
        after: delay, sinceLine: sinceLine, ["checkpoint", folder.path, "\(seed)"])
      let comment: Comment = "round \(round), seed \(seed), \(delay) us"
      let promised = lines.compactMap { UInt64($0) }.last ?? 0
      let whole: CatalogState
      do {
        let log = try #require(try reader(of: folder.path), comment)
        whole = try Replayer(log).replay()
        let found = try CheckpointStore.open(
          folder: folder.path, mode: .readOnly, catalog: CrashPlan.catalog)
        let roots = try found?.roots() ?? []
        #expect(try found?.damagedRoots().isEmpty ?? true, comment)
        #expect(roots.last?.version.rawValue ?? 0 >= promised, comment)
        var state = try log.start()
        for root in roots {
          try Replayer(log).replay(onto: &state, through: root.position)
          let loaded = try #require(found).load(root)
          #expect(loaded.header == state.header, comment)
          #expect(
            loaded.routes.routes(overlapping: .all) == state.routes.routes(overlapping: .all),
            comment)
          checked += 1
        }
      }
      let store = try CatalogStore.open(
        folder: folder.path, wallMilliseconds: { 1_785_312_000_000 })
      #expect(store.condition == nil && store.checkpointWarnings.isEmpty, comment)
      #expect(store.current.header == whole.header, comment)
      store.close()
    }
    #expect(checked > 0)
    let checkpoints = try #require(
      try CheckpointStore.open(
        folder: folder.path, mode: .readWrite, catalog: CrashPlan.catalog))
    for root in try checkpoints.roots() { try checkpoints.dropRoot(root.version) }
    #expect(try checkpoints.nodeIDs().isEmpty, "nothing was lost track of")
  }

  @Test func aMirrorThatIsKilledGoesOn() throws {
    let folder = TemporaryFolder()
    let source = folder.appending("source")
    var state = try CrashPlan.state(routeCount: 50)
    do {
      let log = try EventLog.create(folder: source, catalog: CrashPlan.catalog)
      var entries: [EncodedEntry] = []
      var first = CatalogState(catalog: CrashPlan.catalog)
      for number in UInt64(0)..<600 {
        let command =
          number == 0
          ? CrashPlan.bootstrap : CrashPlan.command(seed: 1, thread: 0, number: number)
        if case .append(let entry) = try first.propose(command, time: first.lastTime.next) {
          entries.append(entry)
        }
      }
      try log.append(entries)
      state = first
    }
    var generator = SeededGenerator(seed: testSeeds(count: 1)[0])
    let target = folder.appending("target")
    for round in 0..<20 {
      let delay = Int.random(in: 0...25_000, using: &generator)
      let lines = try kill(after: delay, sinceLine: 0, ["mirror", source, target])
      guard let log = try reader(of: target) else {
        #expect(lines.isEmpty, "round \(round), \(delay) us")
        continue
      }
      let summary = try Verifier(log).verify()
      let promised = lines.compactMap { UInt64($0) }.last ?? 0
      #expect(summary.last.rawValue >= promised, "round \(round), \(delay) us")
    }
    let log = try EventLog.open(folder: source, mode: .readOnly)
    let mirror = try EventLog.open(folder: target, mode: .readWrite)
    #expect(try Replayer(log).rebuild(mirror).digest == state.digest)
  }

  @Test func aStateIsInstalledWhollyOrNotAtAll() throws {
    let folder = TemporaryFolder()
    var generator = SeededGenerator(seed: testSeeds(count: 1)[0])
    for round in 0..<15 {
      let delay = Int.random(in: 0...60_000, using: &generator)
      let lines = try kill(after: delay, sinceLine: 0, ["install", folder.path])
      guard let log = try reader(of: folder.path) else {
        #expect(lines.isEmpty, "round \(round), \(delay) us")
        continue
      }
      let count = try log.base()?.routes.count ?? 0
      #expect([0, 200, 500, 800, 1100, 1400].contains(count), "round \(round), \(delay) us")
      if let promised = lines.last.flatMap({ Int($0) }) {
        // The one that it promised, or the one after.
        let next = 200 + ((promised - 200) / 300 + 1) % 5 * 300
        #expect([promised, next].contains(count), "round \(round), \(delay) us")
      }
    }
  }

  @Test func anotherProcessThatWritesIsNamed() throws {
    let folder = TemporaryFolder()
    do {
      let log = try EventLog.create(folder: folder.path, catalog: CrashPlan.catalog)
      try log.append(try makeEntries(5, catalog: CrashPlan.catalog).entries)
    }
    let process = try ChildProcess(CrashTests.program, ["hold", folder.path])
    #expect(process.lines(atLeast: 1) == ["held"])
    #expect(throws: StoreError.inUse(folder: folder.path, pid: process.identifier)) {
      try EventLog.open(folder: folder.path, mode: .readWrite)
    }
    do {
      let log = try EventLog.open(folder: folder.path, mode: .readOnly)
      #expect(try Verifier(log).verify().entryCount == 5)
    }
    process.signal(SIGKILL)
    _ = process.wait()
    _ = try EventLog.open(folder: folder.path, mode: .readWrite)
  }

  @Test func aFullDiskRefusesAndIsForgotten() throws {
    let folder = TemporaryFolder()
    let lines = try run(["limited", folder.path])
    try #require(lines.count == 2, "\(lines)")
    // The bootstrap and all that were acknowledged are there, and the store is well.
    let accepted = UInt64(lines[0].split(separator: " ")[1]) ?? 0
    #expect(accepted > 0)
    #expect(lines[0] == "full \(accepted) \(accepted + 1) true")
    #expect(lines[1] == "again appended \(accepted + 2)")
    let log = try #require(try reader(of: folder.path))
    #expect(try Verifier(log).verify().entryCount == accepted + 2)
  }

  @Test func aDiskThatIsTooFullForACheckpointStopsNothing() throws {
    let folder = TemporaryFolder()
    let lines = try run(["limited-checkpoint", folder.path])
    #expect(lines == ["full true true", "appended 3", "made true true"])
    let checkpoints = try #require(
      try CheckpointStore.open(
        folder: folder.path, mode: .readWrite, catalog: CrashPlan.catalog))
    let roots = try checkpoints.roots()
    #expect(roots.map(\.version.rawValue) == [1, 3])
    let log = try #require(try reader(of: folder.path))
    for root in roots {
      let state = try Replayer(log).replay(through: root.position)
      #expect(try checkpoints.load(root).header == state.header)
    }
    for root in roots { try checkpoints.dropRoot(root.version) }
    #expect(try checkpoints.nodeIDs().isEmpty)
  }

  @Test func aReaderFollowsAMapThatAnotherProcessGrows() throws {
    let folder = TemporaryFolder()
    let process = try ChildProcess(CrashTests.program, ["write", folder.path, "1", "4"])
    _ = process.lines(atLeast: 1)
    let log = try #require(try reader(of: folder.path))
    let size = log.mapSize
    var state = try log.start()
    let deadline = Date().addingTimeInterval(20)
    while log.mapSize == size, Date() < deadline {
      try Replayer(log).replay(onto: &state)
    }
    #expect(log.mapSize > size)
    #expect(state.appliedThrough > .zero)
    process.signal(SIGKILL)
    _ = process.wait()
    try Replayer(log).replay(onto: &state)
    #expect(try Verifier(log).verify().digest == state.digest)
  }
}
