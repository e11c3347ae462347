import Catalog
import StateMachines
import TestSupport

@testable import Replay

/// A random log with commitments in it, and the state after each of its entries.
struct CommittedStory {
  let folder = TemporaryFolder()
  let log: EventLog
  /// The state after each entry, the one before the first at index 0.
  private(set) var states: [CatalogState]
  private(set) var entries: [EncodedEntry] = []

  /// A log of about `count` entries. A commitment is made to about one state in `interval`, and
  /// appended up to `delay` entries later.
  init(seed: UInt64, count: Int, interval: Int, delay: Int = 0) throws {
    var generator = SeededGenerator(seed: seed)
    var state = CatalogState(catalog: testCatalog)
    states = [state]
    var frontier = LogFrontier()
    var waiting: [(due: Int, commitment: CatalogCommitment)] = []
    var number: UInt64 = 0
    while entries.count < count {
      number += 1
      let time = state.lastTime.following(
        wallMilliseconds: 1_785_312_000_000 + number * 10)
      if let next = waiting.first, next.due <= entries.count {
        waiting.removeFirst()
        entries.append(
          try state.propose(Note(next.commitment, of: testCatalog), time: time))
      } else {
        let change = AuditStory.change(of: state.routes, &generator)
        var proposed = state
        guard
          let proposal = try? proposed.propose(command(number, change), time: time),
          case .append(let entry) = proposal
        else { continue }
        state = proposed
        entries.append(entry)
      }
      if let entry = entries.last { frontier.append(entry.hash) }
      states.append(state)
      if entries.last?.entry.changesRoutes ?? false, generator.oneIn(interval) {
        let commitment = CatalogCommitment(
          version: state.version, position: state.appliedThrough,
          routesRoot: RouteCommitmentTree(of: state.routes).root, logRoot: frontier.root)
        waiting.append((entries.count + Int.random(in: 0...delay, using: &generator), commitment))
        waiting.sort { $0.due < $1.due }
      }
    }
    log = try EventLog.create(folder: folder.path, catalog: testCatalog)
    try log.append(entries)
  }

  var newest: CatalogVersion { states.last?.version ?? .zero }

  func hash(_ position: LogPosition) -> EntryHash { entries[Int(position.rawValue) - 1].hash }

  /// The routes at a version.
  func table(_ version: CatalogVersion) -> RouteTable {
    (states.first { $0.version == version } ?? states[0]).routes
  }
}
