import Catalog
import StateMachines
import Synchronization
import TestSupport
import Testing

@testable import Replay

/// A store against a fresh replay of its log, over random commands of all kinds.
@Suite struct StorePropertyTests {
  @Test(arguments: testSeeds(count: 12))
  func theStoreIsWhatItsLogMakes(seed: UInt64) throws {
    let folder = TemporaryFolder()
    var generator = SeededGenerator(seed: seed)
    let clock = TestClock()
    var options = StoreOptions()
    options.historyCapacity = Int.random(in: 1...40, using: &generator)
    options.maximumBatchCount = Int.random(in: 1...20, using: &generator)
    options.log.initialMapSize = 64 << 10
    var store = try CatalogStore.create(
      folder: folder.path, catalog: testCatalog, options: options, wallMilliseconds: clock.read)
    var tables: [CatalogVersion: StateDigest] = [.zero: store.current.routes.digest]
    var number: UInt64 = 0
    for _ in 0..<12 {
      var sent: [Command] = []
      for _ in 0..<Int.random(in: 1...30, using: &generator) {
        number += 1
        // Now and then a command comes twice.
        let isRepeat = generator.oneIn(6) && !sent.isEmpty
        sent.append(
          isRepeat
            ? sent[Int.random(in: 0..<sent.count, using: &generator)]
            : command(number, randomChange(store.current.routes, &generator)))
      }
      let answers = send(sent, to: store)
      try check(answers, sent, store, seed)

      let log = try EventLog.open(folder: folder.path, mode: .readOnly)
      var replayed = try log.start()
      var replayer = Replayer(log)
      replayer.onEntry = { state, _ in tables[state.version] = state.routes.digest }
      try replayer.replay(onto: &replayed)
      #expect(replayed.digest == store.current.digest, "seed \(seed)")
      #expect(replayed.lastHash == store.current.lastHash, "seed \(seed)")
      #expect(try Replayer(log).replay().digest == replayed.digest, "seed \(seed)")
      for version in store.retainedVersions.lowerBound.rawValue...replayed.version.rawValue {
        let version = CatalogVersion(version)
        #expect(store.table(at: version)?.digest == tables[version], "seed \(seed)")
      }
      if generator.oneIn(3) {
        store.close()
        store = try CatalogStore.open(
          folder: folder.path, options: options, wallMilliseconds: clock.read)
        #expect(store.current.digest == replayed.digest, "seed \(seed)")
        #expect(store.condition == nil, "seed \(seed)")
      }
    }
    store.close()
    let log = try EventLog.open(folder: folder.path, mode: .readOnly)
    let summary = try Verifier(log).verify()
    #expect(summary.digest == store.current.digest, "seed \(seed)")
  }

  private func send(
    _ commands: [Command], to store: CatalogStore
  ) -> [Result<Receipt, CommandFailure>] {
    let answers = Monitor<[Int: Result<Receipt, CommandFailure>]>([:])
    for index in commands.indices {
      store.submit(commands[index]) { result in answers.change { $0[index] = result } }
    }
    return answers.wait { answers in
      guard answers.count == commands.count else { return nil }
      return commands.indices.compactMap { answers[$0] }
    }
  }

  /// Each answer fits the log, and no command has two entries.
  private func check(
    _ answers: [Result<Receipt, CommandFailure>], _ commands: [Command], _ store: CatalogStore,
    _ seed: UInt64
  ) throws {
    var positions: [CommandID: LogPosition] = [:]
    for (command, answer) in zip(commands, answers) {
      switch answer {
      case .success(let receipt) where receipt.outcome == .alreadyDone:
        #expect(receipt.command == command.id, "seed \(seed)")
      case .success(let receipt):
        #expect(try store.receipt(of: command.id)?.position == receipt.position, "seed \(seed)")
        if receipt.outcome == .appended {
          #expect(
            positions.updateValue(receipt.position, forKey: command.id) == nil, "seed \(seed)")
        } else {
          #expect(positions[command.id] == receipt.position, "seed \(seed)")
        }
      case .failure(.refused): break
      case .failure(let failure): Issue.record("\(failure), seed \(seed)")
      }
    }
  }

  private func randomChange(
    _ routes: RouteTable, _ generator: inout SeededGenerator
  ) -> RouteChange {
    let ids = routes.routes(overlapping: .all).map(\.id)
    guard let first = ids.first else { return oneRoute }
    func some(_ generator: inout SeededGenerator) -> [RouteID] {
      (0..<Int.random(in: 1...3, using: &generator)).map { _ in
        ids.randomElement(using: &generator) ?? first
      }
    }
    switch Int.random(in: 0..<6, using: &generator) {
    case 0:
      let left = Int.random(in: 0..<ids.count, using: &generator)
      return .merge([MergeRequest(left: ids[left], right: ids[min(left + 1, ids.count - 1)])])
    case 1:
      return .move(some(&generator), to: GroupID(UInt64.random(in: 1...2, using: &generator)))
    case 2:
      return .setState(some(&generator), to: generator.oneIn(4) ? .writeFenced : .active)
    default:
      return .split(
        (0..<Int.random(in: 1...4, using: &generator)).map { _ in
          SplitRequest(at: Key.random(length: 1...6, using: &generator))
        })
    }
  }
}
