import Catalog
import StateMachines
import TestSupport

@testable import Replay

/// A log in a folder with the state at each of its versions: what audits are checked against. Some of
/// its entries change no routes.
struct AuditStory {
  let folder = TemporaryFolder()
  let log: EventLog
  /// The checkpoints, where there are any.
  private(set) var checkpoints: CheckpointStore?
  /// The state that the log begins after, then that after each entry which made a version.
  private(set) var states: [CatalogState]
  private(set) var entries: [LogEntry] = []
  /// Those that made versions.
  private var changing: [LogEntry] = []

  /// A log of `count` random entries; with `before`, of those that follow a base that was made by so
  /// many.
  init(seed: UInt64, count: Int, before: Int = 0) throws {
    var generator = SeededGenerator(seed: seed)
    var state = CatalogState(catalog: testCatalog)
    var number: UInt64 = 0
    func next() throws -> EncodedEntry {
      while true {
        number += 1
        if state.version > .zero, generator.oneIn(8) {
          let commitment = CatalogCommitment(
            version: state.version, position: state.appliedThrough, routesRoot: .empty,
            logRoot: .empty)
          return try state.propose(Note(commitment, of: testCatalog), time: state.lastTime.next)
        }
        let change = Self.change(of: state.routes, &generator)
        let command = Command(
          id: commandID(number), actor: generator.oneIn(2) ? "ann" : "bob",
          reason: "reason \(number)", change: change)
        let time = state.lastTime.following(
          wallMilliseconds: state.lastTime.milliseconds
            + UInt64.random(
              in: 0...3, using: &generator) + (state.lastTime == .zero ? 1_785_312_000_000 : 0))
        var proposed = state
        guard let proposal = try? proposed.propose(command, time: time),
          case .append(let entry) = proposal
        else { continue }
        state = proposed
        return entry
      }
    }
    for _ in 0..<before { _ = try next() }
    log = try EventLog.create(folder: folder.path, catalog: testCatalog)
    if before > 0 { try log.install(base: state) }
    states = [state]
    var pending: [EncodedEntry] = []
    for _ in 0..<count {
      let entry = try next()
      pending.append(entry)
      guard entry.entry.changesRoutes else { continue }
      changing.append(entry.entry)
      states.append(state)
    }
    try log.append(pending)
    entries = pending.map(\.entry)
  }

  /// Makes a checkpoint of about one version in `interval`.
  mutating func makeCheckpoints(seed: UInt64, interval: Int) throws {
    var generator = SeededGenerator(seed: seed)
    let path = folder.path
    var writer = CheckpointWriter(after: StartingPoint(state: states[0]), in: nil) {
      () throws(StoreError) in
      try CheckpointStore.open(folder: path, mode: .readWrite, catalog: testCatalog)
    }
    for state in states where state.version > .zero && generator.oneIn(interval) {
      _ = try writer.checkpoint(state)
    }
    checkpoints = writer.store
  }

  var versions: ClosedRange<UInt64> {
    (states.first?.version.rawValue ?? 0)...(states.last?.version.rawValue ?? 0)
  }

  /// The routes at a version that the log leads to.
  func table(_ version: UInt64) -> RouteTable {
    states[Int(version - versions.lowerBound)].routes
  }

  /// What the entry that made `version` did to single routes, by their ids.
  func changes(_ version: UInt64) -> [ChangedRoute] {
    let entry = changing[Int(version - versions.lowerBound) - 1]
    var ids: Set<RouteID> = []
    for event in entry.events { event.forEachRoute { ids.insert($0) } }
    let (before, after) = (table(version - 1), table(version))
    return ids.sorted().compactMap { id in
      let change = ChangedRoute(
        id: id, before: before.route(id: id), after: after.route(id: id))
      return change.before == change.after ? nil : change
    }
  }

  func entry(_ version: UInt64) -> LogEntry { changing[Int(version - versions.lowerBound) - 1] }

  static func change(
    of routes: RouteTable, _ generator: inout SeededGenerator
  ) -> RouteChange {
    let ids = routes.routes(overlapping: .all).map(\.id)
    guard let first = ids.first else {
      return .bootstrap(
        ["", "b", "c"].map { RouteSeedRequest(start: Key($0), group: GroupID(1)) })
    }
    func some(_ generator: inout SeededGenerator) -> [RouteID] {
      (0..<Int.random(in: 1...3, using: &generator)).map { _ in
        ids.randomElement(using: &generator) ?? first
      }
    }
    switch Int.random(in: 0..<9, using: &generator) {
    case 0...2:
      let left = Int.random(in: 0..<ids.count, using: &generator)
      return .merge(
        (0..<Int.random(in: 1...2, using: &generator)).map {
          MergeRequest(
            left: ids[min(left + $0, ids.count - 1)], right: ids[min(left + $0 + 1, ids.count - 1)])
        })
    case 3:
      return .move(some(&generator), to: GroupID(UInt64.random(in: 1...2, using: &generator)))
    case 4:
      return .setState(
        generator.oneIn(2) ? ids : some(&generator), to: generator.oneIn(4) ? .softFailed : .active)
    case 5:
      let names = generator.oneIn(2) ? ["eu-west", "us-east"] : []
      return .setAllowedRegions(
        generator.oneIn(2) ? ids : some(&generator), to: names.compactMap { try? Region($0) })
    default:
      return .split(
        (0..<Int.random(in: 1...3, using: &generator)).map { _ in
          SplitRequest(at: .random(length: 1...3, alphabet: 0x61...0x64, using: &generator))
        })
    }
  }
}

/// All pages of a cursor together.
func all<Cursor, Element>(
  _ cursor: Cursor, _ next: (inout Cursor) throws -> [Element]?
) rethrows -> [Element] {
  var cursor = cursor
  var result: [Element] = []
  while let page = try next(&cursor) { result += page }
  return result
}
