import Catalog
import Replay
import StateMachines
import Glibc
import Synchronization

/// What the process that is killed and the test that kills it agree on: which commands there are.
package enum CrashPlan {
  /// The catalog that crash tests write.
  package static let catalog: CatalogID = {
    guard let id = CatalogID(bytes: Array("crash test 00001".utf8)) else {
      preconditionFailure("sixteen bytes")
    }
    return id
  }()

  /// The first command of all, the same in each round.
  package static let bootstrap = command(
    seed: 0, thread: 0, number: 0,
    change: .bootstrap([RouteSeedRequest(start: .least, group: GroupID(1))]))

  /// The command that a thread sends as its `number`th in the round with this seed. Each makes an
  /// entry.
  package static func command(seed: UInt64, thread: UInt64, number: UInt64) -> Command {
    let boundary = Key(
      unchecked: Array("\(seed)/\(thread)/\(number)".utf8)
        + Array(repeating: UInt8(ascii: "x"), count: Int(number % 5) * 40))
    return command(
      seed: seed, thread: thread, number: number, change: .split([SplitRequest(at: boundary)]))
  }

  private static func command(
    seed: UInt64, thread: UInt64, number: UInt64, change: RouteChange
  ) -> Command {
    let bytes = [seed, thread << 48 | number].flatMap { word in
      withUnsafeBytes(of: word.bigEndian, Array.init)
    }
    guard let id = CommandID(bytes: bytes) else { preconditionFailure("sixteen bytes") }
    return Command(id: id, actor: "crash test", reason: "round \(seed)", change: change)
  }

  /// Trims a store down to its newest checkpoint, and gives all pages back.
  package static func trim(_ store: CatalogStore) throws -> TrimReport {
    var policy = RetentionPolicy.everything
    policy.log = .zero
    return try store.trim(
      policy, nowMilliseconds: store.current.lastTime.milliseconds + 1, compacting: .always
    ) { () throws(StoreError) in
      try SigningKeyFile.loadOrMake(in: store.folder) { [UInt8](repeating: 3, count: 32) }
    }
  }

  /// Sends a command, waits for the outcome, and calls `body` before anything else is done.
  package static func submit(
    _ command: Command, to store: CatalogStore,
    _ body: @escaping @Sendable (Receipt) -> Void
  ) throws {
    let outcome = Mutex<Result<Receipt, CommandFailure>?>(nil)
    store.submit(command) { result in
      if case .success(let receipt) = result { body(receipt) }
      outcome.withLock { $0 = result }
    }
    while true {
      if let result = outcome.withLock({ $0 }) {
        _ = try result.get()
        return
      }
      usleep(20)
    }
  }

  /// A state of so many routes.
  package static func state(routeCount: Int) throws -> CatalogState {
    var state = CatalogState(catalog: catalog)
    let seeds = (0..<routeCount).map { number in
      RouteSeedRequest(
        start: number == 0 ? .least : Key(unchecked: Array("\(1_000_000 + number)".utf8)),
        group: GroupID(1))
    }
    var command = bootstrap
    command.change = .bootstrap(seeds)
    _ = try state.propose(command, time: state.lastTime.next)
    return state
  }
}
