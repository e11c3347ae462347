import BenchSupport
import Catalog
import Glibc
import Replay
import StateMachines

/// Measures what history costs: checkpoints, starts, questions about the past, proof of all of it.
struct HistoryBench {
  let folder: String
  let routeCount: Int
  let versionCount: Int
  /// How many versions a start finds behind the newest checkpoint.
  private static let tailCount: UInt64 = 10_000
  /// How fast the history is written.
  private static let versionsPerSecond: UInt64 = 10_000
  /// The number of the next split's boundary.
  private var number = 1

  init(folder: String, routeCount: Int, versionCount: Int) {
    self.folder = folder
    self.routeCount = routeCount
    self.versionCount = versionCount
  }

  mutating func run() throws {
    try checkpoints()
    try starts()
    try questions()
    try proof()
  }

  // MARK: Writing

  private mutating func checkpoints() throws {
    let store = try CatalogStore.create(
      folder: folder, catalog: EntryMaker.catalog, options: Self.options(.onRequest),
      wallMilliseconds: wallMilliseconds)
    try submit(EntryMaker.bootstrap(routeCount: routeCount), to: store)
    try checkpoint(store, splits: 0, "checkpoint.first")
    for _ in 0..<5 { try checkpoint(store, splits: 1_000, "checkpoint") }
    store.close()

    let before = Self.sizes(of: folder)
    let busy = try CatalogStore.open(
      folder: folder, options: Self.options(CheckpointPolicy()),
      wallMilliseconds: wallMilliseconds)
    let start = Start()
    // As fast as a busy catalog ever gets, so that checkpoints come when the policy wants them.
    let burst = 100
    for _ in 0..<versionCount / burst {
      let begin = now()
      _ = split(burst, in: busy)
      let due = begin + UInt64(burst) * 1_000_000_000 / Self.versionsPerSecond
      let end = now()
      if end < due { usleep(UInt32((due - end) / 1_000)) }
    }
    report(
      "history.write", ["routes": routeCount], count: versionCount, unit: "versions",
      since: start, nil)
    busy.close()
    let after = Self.sizes(of: folder)
    print(
      """
      {"bench": "history.bytes", "versions": \(versionCount), \
      "log_bytes_per_version": \((after.log - before.log) / versionCount), \
      "checkpoint_bytes_per_version": \((after.checkpoints - before.checkpoints) / versionCount), \
      "roots": \(try busy.checkpoints?.roots().count ?? 0)}
      """)
    fflush(nil)
  }

  private mutating func split(_ count: Int, in store: CatalogStore) -> Latencies {
    defer { number += count }
    return ClientRun(store: store, first: number, count: count).run(clients: 256)
  }

  private mutating func checkpoint(
    _ store: CatalogStore, splits: Int, _ name: String
  ) throws {
    if splits > 0 { _ = split(splits, in: store) }
    let before = Self.sizes(of: folder)
    let start = Start()
    let root = try store.checkpointNow()
    let bytes = Self.sizes(of: folder).checkpoints - before.checkpoints
    report(
      name, ["routes": routeCount, "nodes": root?.nodes.count ?? 0, "bytes": bytes],
      count: max(1, splits), unit: "versions", since: start, nil)
  }

  // MARK: Starting

  /// From nothing to the first right answer, with a tail of 10,000 versions behind the newest root.
  private mutating func starts() throws {
    let store = try CatalogStore.open(
      folder: folder, options: Self.options(.onRequest), wallMilliseconds: wallMilliseconds)
    _ = try store.checkpointNow()
    _ = split(Int(Self.tailCount), in: store)
    let expected = store.current
    store.close()
    let key = EntryMaker.boundary(UInt64(number - 1))
    for _ in 0..<3 {
      let start = Start()
      let again = try CatalogStore.open(
        folder: folder, options: Self.options(.onRequest), wallMilliseconds: wallMilliseconds)
      let route = again.current.routes.route(containing: key)
      report(
        "start", ["routes": routeCount, "versions": versionCount, "tail": Self.tailCount], count: 1,
        unit: "starts", since: start, nil)
      guard route?.span.lower == key, again.current.digest == expected.digest else {
        throw UsageError(argument: "the digest after a start")
      }
      again.close()
    }
  }

  // MARK: Asking

  private func questions() throws {
    let log = try EventLog.open(folder: folder, mode: .readOnly)
    let reader = AuditReader(log)
    let newest = try log.tail().version.rawValue
    // Those that were written with checkpoints as the policy wants them, not the tail of the starts.
    let last = newest - Self.tailCount
    let oldest = last - UInt64(versionCount)
    var latencies = Latencies()
    let start = Start()
    var random = UInt64(1)
    for question in 0..<2_000 {
      random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let version = CatalogVersion(oldest + (random >> 20) % (last - oldest))
      let key = EntryMaker.boundary(UInt64(question * 37 % (number - 1) + 1))
      let before = now()
      let routes = try reader.routes(containing: [key], at: reader.resolve(.version(version)))
      latencies.add(now() - before)
      guard routes.count == 1 else { throw UsageError(argument: "one route holds a key") }
    }
    report(
      "asof.lookup", ["routes": routeCount, "versions": versionCount], count: 2_000,
      unit: "lookups", since: start, latencies)
    for distance in [10, 1_000, UInt64(versionCount)] {
      let start = Start()
      var cursor = try reader.diff(
        from: reader.resolve(.version(CatalogVersion(newest - distance))),
        to: reader.resolve(.newest))
      var count = 0
      while let page = try cursor.next() { count += page.count }
      report(
        "diff", ["routes": routeCount, "versions_apart": distance, "routes_changed": count],
        count: max(1, count), unit: "changes", since: start, nil)
    }
  }

  // MARK: Proving

  /// The whole log proven, beside a plain scan of the same entries with a SHA-256 of each.
  private func proof() throws {
    let log = try EventLog.open(folder: folder, mode: .readOnly)
    let scan = Start()
    var (position, count, checksum) = (LogPosition(1), 0, UInt8(0))
    while true {
      let bytes = try log.entryBytes(from: position, maxCount: 4_096, maxBytes: 8 << 20)
      guard !bytes.isEmpty else { break }
      for entry in bytes { checksum ^= entry.withUnsafeBytes(EntryHash.init(of:)).bytes[0] }
      count += bytes.count
      position = LogPosition(position.rawValue + UInt64(bytes.count))
    }
    report(
      "scan_sha256", ["checksum": Int(checksum)], count: count, unit: "entries", since: scan, nil)
    let checkpoints = try CheckpointStore.open(
      folder: folder, mode: .readOnly, catalog: log.catalog)
    for (name, checkpoints) in [("verify.log", nil), ("verify", checkpoints)] {
      let verify = Start()
      let summary = try Verifier(log, checkpoints: checkpoints).verify()
      report(
        name, ["routes": routeCount, "checkpoints": summary.checkpointCount], count: count,
        unit: "entries", since: verify, nil)
    }
  }

  // MARK: Helpers

  private static func options(_ policy: CheckpointPolicy) -> StoreOptions {
    var options = StoreOptions()
    options.checkpoints = policy
    return options
  }

  /// What the disk holds of the log and of its checkpoints, in bytes.
  private static func sizes(of folder: String) -> (log: Int, checkpoints: Int) {
    func size(_ path: String) -> Int {
      var information = stat()
      return stat(path, &information) == 0 ? Int(information.st_blocks) * 512 : 0
    }
    return (
      size(folder + "/data.mdb"), size(folder + "/\(CheckpointStore.folderName)/data.mdb")
    )
  }
}
