import BenchSupport
import Catalog
import Glibc
import Replay
import StateMachines
import Synchronization

/// Commands sent by clients that each send the next one when they have the answer to the last.
final class ClientRun: Sendable {
  private let store: CatalogStore
  private let next: Atomic<Int>
  private let end: Int
  private let waiting: Atomic<Int>
  private let times = Mutex(Latencies())

  init(store: CatalogStore, first: Int, count: Int) {
    self.store = store
    next = Atomic(first)
    end = first + count
    waiting = Atomic(count)
  }

  /// Returns when all commands have their answers.
  func run(clients: Int) -> Latencies {
    for _ in 0..<clients { sendNext() }
    while waiting.load(ordering: .acquiring) > 0 { usleep(200) }
    return times.withLock { $0 }
  }

  private func sendNext() {
    let number = next.wrappingAdd(1, ordering: .relaxed).oldValue
    guard number < end else { return }
    let change = RouteChange.split([SplitRequest(at: EntryMaker.boundary(UInt64(number)))])
    let start = now()
    store.submit(EntryMaker.command(UInt64(number), change)) { result in
      if case .failure(let failure) = result { preconditionFailure("\(failure)") }
      self.times.withLock { $0.add(now() - start) }
      self.waiting.wrappingSubtract(1, ordering: .releasing)
      self.sendNext()
    }
  }
}

/// Sends one command and waits for its answer.
func submit(_ command: Command, to store: CatalogStore) throws {
  let answer = Mutex<Result<Receipt, CommandFailure>?>(nil)
  store.submit(command) { result in answer.withLock { $0 = result } }
  while true {
    if let result = answer.withLock({ $0 }) {
      _ = try result.get()
      return
    }
    usleep(200)
  }
}
