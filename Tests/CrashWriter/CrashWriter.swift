import Catalog
import CrashPlan
import Glibc
import Replay
import StateMachines
import Synchronization

/// A process for the crash tests: it works on a folder until it is killed, and says on its standard
/// output what it was promised. It has no exit of its own.
@main
enum CrashWriter {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count >= 3 else { throw UsageError() }
    let folder = arguments[2]
    switch arguments[1] {
    case "write":
      guard arguments.count == 5, let seed = UInt64(arguments[3]),
        let threads = UInt64(arguments[4])
      else { throw UsageError() }
      try write(folder, seed: seed, threadCount: threads)
    case "compact":
      guard arguments.count == 4, let seed = UInt64(arguments[3]) else { throw UsageError() }
      try compact(folder, seed: seed)
    case "checkpoint":
      guard arguments.count == 4, let seed = UInt64(arguments[3]) else { throw UsageError() }
      try checkpoint(folder, seed: seed)
    case "trim":
      guard arguments.count == 4, let seed = UInt64(arguments[3]) else { throw UsageError() }
      try trim(folder, seed: seed)
    case "mirror":
      guard arguments.count == 4 else { throw UsageError() }
      try mirror(folder, to: arguments[3])
    case "repair":
      guard arguments.count == 4 else { throw UsageError() }
      try repair(folder, from: arguments[3])
    case "install":
      try install(folder)
    case "limited":
      try fill(folder)
    case "limited-checkpoint":
      try fillCheckpoints(folder)
    case "limited-upkeep":
      try keep(folder)
    case "hold":
      let log = try EventLog.open(folder: folder, mode: .readWrite)
      say("held")
      while true { _ = (pause(), log) }
    default:
      throw UsageError()
    }
  }

  /// Sends commands from several threads and prints those that were acknowledged.
  private static func write(_ folder: String, seed: UInt64, threadCount: UInt64) throws {
    let store = try openStore(folder, .leader)
    say("open")
    try CrashPlan.submit(CrashPlan.bootstrap, to: store) { _ in }
    for thread in 0..<threadCount {
      try start {
        for number in 0..<UInt64.max {
          let command = CrashPlan.command(seed: seed, thread: thread, number: number)
          try? CrashPlan.submit(command, to: store) { receipt in
            say("\(thread) \(number) \(receipt.position)")
          }
        }
      }
    }
    while true { _ = (pause(), store) }
  }

  /// Writes as `write` does, and compacts the log all the while.
  private static func compact(_ folder: String, seed: UInt64) throws {
    let store = try openStore(folder, .leader)
    say("open")
    try CrashPlan.submit(CrashPlan.bootstrap, to: store) { _ in }
    try start {
      for number in 0..<UInt64.max {
        let command = CrashPlan.command(seed: seed, thread: 0, number: number)
        try? CrashPlan.submit(command, to: store) { receipt in
          say("\(number) \(receipt.position)")
        }
      }
    }
    while true {
      _ = try store.compactLog()
      say("compacted")
    }
  }

  /// Makes checkpoints and drops some while commands come in; prints those that were made.
  private static func checkpoint(_ folder: String, seed: UInt64) throws {
    let store = try openStore(folder, .leader)
    say("open")
    try CrashPlan.submit(CrashPlan.bootstrap, to: store) { _ in }
    for thread in UInt64(0)..<2 {
      try start {
        for number in 0..<UInt64.max {
          let command = CrashPlan.command(seed: seed, thread: thread, number: number)
          try? CrashPlan.submit(command, to: store) { _ in }
        }
      }
    }
    var choice = seed
    while true {
      if let root = try store.checkpointNow() { say("\(root.version)") }
      choice = choice &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      guard let checkpoints = store.checkpoints, choice >> 62 > 0 else { continue }
      // Not the newest, which was promised.
      let roots = try checkpoints.roots().dropLast()
      guard roots.count > 4 else { continue }
      try checkpoints.dropRoot(roots[roots.startIndex + Int(choice >> 33) % roots.count].version)
    }
  }

  /// Writes as `write` does, and trims the log all the while, down to the last checkpoint.
  private static func trim(_ folder: String, seed: UInt64) throws {
    let store = try openStore(folder, .leader)
    say("open")
    // Its entry may be gone, and with it the memory of its id.
    if store.current.version == .zero {
      try CrashPlan.submit(CrashPlan.bootstrap, to: store) { _ in }
    }
    try start {
      for number in 0..<UInt64.max {
        let command = CrashPlan.command(seed: seed, thread: 0, number: number)
        try? CrashPlan.submit(command, to: store) { receipt in
          say("\(number) \(receipt.position)")
        }
      }
    }
    while true {
      _ = try store.checkpointNow()
      let report = try CrashPlan.trim(store)
      say("trimmed \(report.base)")
    }
  }

  /// Rebuilds a mirror.
  private static func mirror(_ folder: String, to target: String) throws {
    let source = try EventLog.open(folder: folder, mode: .readOnly)
    let mirror = try openMirror(target)
    say("open")
    var replayer = Replayer(source)
    replayer.rebuildSliceCount = 8
    replayer.onProgress = { say("\($0.position)") }
    try replayer.rebuild(mirror)
    while true { _ = (pause(), mirror) }
  }

  private static func openMirror(_ folder: String) throws -> EventLog {
    var options = LogOptions()
    options.initialMapSize = 64 << 10
    do {
      return try EventLog.create(folder: folder, catalog: CrashPlan.catalog, options: options)
    } catch .logExists {
      return try EventLog.open(folder: folder, mode: .readWrite, options: options)
    }
  }

  /// Repairs a damaged folder.
  private static func repair(_ folder: String, from peer: String) throws {
    say("begun")
    let report = try Repairer(folder: folder, from: FolderPeer(folder: peer)).repair(dryRun: false)
    say("mended \(report.fetchedEntryCount) \(report.remadeCheckpoints.count)")
    while true { pause() }
  }

  /// Replaces a learner's state over and over.
  private static func install(_ folder: String) throws {
    let store = try openStore(folder, .learner)
    say("open")
    for size in 0..<UInt64.max {
      try store.installState(CrashPlan.state(routeCount: 200 + Int(size % 5) * 300))
      say("\(store.current.routes.count)")
    }
  }

  /// Writes to a file system that takes no more at some point, and then does again.
  private static func fill(_ folder: String) throws {
    let clock: @Sendable () -> UInt64 = { 1_785_312_000_000 }
    // The map is not to grow: it is the commits that fail.
    let store = try CatalogStore.create(
      folder: folder, catalog: CrashPlan.catalog, wallMilliseconds: clock)
    try CrashPlan.submit(CrashPlan.bootstrap, to: store) { _ in }
    signal(SIGXFSZ, SIG_IGN)
    var limit = rlimit(rlim_cur: 300 << 10, rlim_max: rlim_t.max)
    let resource = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
    guard setrlimit(resource, &limit) == 0 else { throw UsageError() }
    var number: UInt64 = 0
    do {
      while number < 100_000 {
        try CrashPlan.submit(
          CrashPlan.command(seed: 1, thread: 0, number: number), to: store
        ) { _ in }
        number += 1
      }
    } catch CommandFailure.storage {
      let last = store.current.appliedThrough
      say("full \(number) \(last) \(store.condition == nil)")
    }
    limit.rlim_cur = rlim_t.max
    guard setrlimit(resource, &limit) == 0 else { throw UsageError() }
    try CrashPlan.submit(
      CrashPlan.command(seed: 1, thread: 0, number: number), to: store
    ) { receipt in say("again \(receipt.outcome) \(receipt.position)") }
    store.close()
  }

  /// Makes a checkpoint on a file system that has no room for it, goes on, and makes it later.
  private static func fillCheckpoints(_ folder: String) throws {
    var options = StoreOptions()
    options.checkpoints = .onRequest
    let store = try CatalogStore.create(
      folder: folder, catalog: CrashPlan.catalog, options: options,
      wallMilliseconds: { 1_785_312_000_000 })
    try CrashPlan.submit(CrashPlan.bootstrap, to: store) { _ in }
    try store.checkpointNow()
    var change = CrashPlan.command(seed: 1, thread: 9, number: 0)
    change.change = .split(
      (0..<20_000).map { SplitRequest(at: Key(unchecked: Array("\(1_000_000 + $0)".utf8))) })
    try CrashPlan.submit(change, to: store) { _ in }
    signal(SIGXFSZ, SIG_IGN)
    // The log has more by now than a file may have, so it is read only as long as this lasts.
    var limit = rlimit(rlim_cur: 600 << 10, rlim_max: rlim_t.max)
    let resource = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
    guard setrlimit(resource, &limit) == 0 else { throw UsageError() }
    do {
      try store.checkpointNow()
    } catch {
      say("full \(store.checkpointCondition == error) \(store.condition == nil)")
    }
    limit.rlim_cur = rlim_t.max
    guard setrlimit(resource, &limit) == 0 else { throw UsageError() }
    try CrashPlan.submit(
      CrashPlan.command(seed: 1, thread: 0, number: 1), to: store
    ) { receipt in say("\(receipt.outcome) \(receipt.version)") }
    let root = try store.checkpointNow()
    say("made \(root?.version == store.current.version) \(store.checkpointCondition == nil)")
    store.close()
  }

  /// Makes checkpoints and trims on a file system that takes no more, and then does again.
  private static func keep(_ folder: String) throws {
    var options = StoreOptions()
    options.checkpoints = .onRequest
    let store = try CatalogStore.create(
      folder: folder, catalog: CrashPlan.catalog, options: options,
      wallMilliseconds: { 1_785_312_000_000 })
    try CrashPlan.submit(CrashPlan.bootstrap, to: store) { _ in }
    var number: UInt64 = 0
    func write(_ count: UInt64) throws {
      for _ in 0..<count {
        try CrashPlan.submit(
          CrashPlan.command(seed: 1, thread: 0, number: number), to: store
        ) { _ in }
        number += 1
      }
    }
    func refused(_ what: String, at limit: rlim_t, _ body: () throws -> Void) throws {
      signal(SIGXFSZ, SIG_IGN)
      var limits = rlimit(rlim_cur: limit, rlim_max: rlim_t.max)
      let resource = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
      guard setrlimit(resource, &limits) == 0 else { throw UsageError() }
      var isFull = false
      do { try body() } catch StoreError.diskFull { isFull = true }
      limits.rlim_cur = rlim_t.max
      guard setrlimit(resource, &limits) == 0 else { throw UsageError() }
      say("\(what) \(isFull ? "refused" : "done") \(store.condition == nil)")
    }
    try write(300)
    try refused("first checkpoint", at: 100 << 10) { _ = try store.checkpointNow() }
    let first = try store.checkpointNow()
    try write(300)
    try refused("second checkpoint", at: 40 << 10) { _ = try store.checkpointNow() }
    let second = try store.checkpointNow()
    try refused("trim", at: 20 << 10) { _ = try CrashPlan.trim(store) }
    try write(1)
    let report = try CrashPlan.trim(store)
    try write(1)
    store.close()
    say(
      "\(first?.version.rawValue ?? 0) \(second?.version.rawValue ?? 0) \(report.base) \(number)")
  }

  private static func openStore(_ folder: String, _ role: StoreRole) throws -> CatalogStore {
    var options = StoreOptions(role: role)
    // Hardly any room, so that the map grows all the time.
    options.log.initialMapSize = 64 << 10
    options.checkpoints = .onRequest
    let clock: @Sendable () -> UInt64 = { 1_785_312_000_000 }
    do {
      return try CatalogStore.create(
        folder: folder, catalog: CrashPlan.catalog, options: options, wallMilliseconds: clock)
    } catch .logExists {
      return try CatalogStore.open(folder: folder, options: options, wallMilliseconds: clock)
    }
  }

  private static func start(_ body: @escaping @Sendable () -> Void) throws {
    final class Box: Sendable {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let code = pthread_create(
      &thread, nil,
      { box in
        if let box { Unmanaged<Box>.fromOpaque(box).takeRetainedValue().body() }
        return nil
      }, Unmanaged.passRetained(Box(body)).toOpaque())
    guard code == 0 else { throw UsageError() }
  }

  /// One line in one system call: it is there as a whole, or not at all.
  private static func say(_ text: String) {
    let line = Array((text + "\n").utf8)
    _ = Glibc.write(STDOUT_FILENO, line, line.count)
  }
}

struct UsageError: Error {}
