import BenchSupport
import CadastreClient
import Catalog
import StateMachines
import Synchronization

/// Commands that nobody sent before.
enum Commands {
  /// So many splits all over the keyspace, at keys of 20 bytes.
  static func split(_ count: Int = 1) -> Command {
    var generator = SystemRandomNumberGenerator()
    let id = (0..<CommandID.byteCount).map { _ in UInt8.random(in: 0...255, using: &generator) }
    guard let id = CommandID(bytes: id) else { preconditionFailure("as many bytes as it has") }
    let splits = (0..<count).map { _ in SplitRequest(at: key(generator.next())) }
    return Command(id: id, actor: "bench@host", reason: "load", change: .split(splits))
  }

  /// `usr/` and sixteen digits.
  private static func key(_ number: UInt64) -> Key {
    let digits = Array("0123456789abcdef".utf8)
    let shifts = stride(from: UInt64(60), through: 0, by: -4)
    return Key(unchecked: Array("usr/".utf8) + shifts.map { digits[Int(number >> $0 & 15)] })
  }
}

/// Clients that each make the next call when they have the answer to the last.
struct Load {
  typealias Call = @Sendable () async throws -> Void

  var clients: Int

  /// Calls for so long; a call that was begun is waited for.
  func run(seconds: Double, _ call: @escaping Call) async throws -> Latencies {
    let end = now() + UInt64(seconds * 1e9)
    return try await run(while: { now() < end }, call)
  }

  /// Calls so often.
  func run(count: Int, _ call: @escaping Call) async throws -> Latencies {
    let left = Atomic(count)
    return try await run(
      while: { left.wrappingSubtract(1, ordering: .relaxed).newValue >= 0 }, call)
  }

  private func run(
    while goesOn: @escaping @Sendable () -> Bool, _ call: @escaping Call
  ) async throws -> Latencies {
    try await withThrowingTaskGroup(of: Latencies.self) { group in
      for _ in 0..<clients {
        group.addTask {
          var times = Latencies()
          while goesOn() {
            let start = now()
            try await call()
            times.add(now() - start)
          }
          return times
        }
      }
      var all = Latencies()
      for try await times in group { all.add(times) }
      return all
    }
  }
}

extension ClusterBench {
  /// Appends so many entries, as fast as the leader takes them.
  func fill(_ address: NodeAddress) async throws {
    guard let clients = clients.first, clients > 0 else { throw UsageError("--clients is 0") }
    let (commands, splits) = (commands, splits)
    try await NodeClient.with(address) { node in
      try await node.untilReady()
      let start = Start()
      let times = try await Load(clients: clients).run(count: commands) {
        try await node.submit(Commands.split(splits))
      }
      report(
        "cluster.fill", ["clients": clients, "splits": splits], count: times.count,
        unit: "commands", since: start, times)
    }
  }
}

extension NodeClient {
  /// Waits until the node answers, and says what it is.
  @discardableResult
  func untilReady() async throws -> NodeStatus {
    while true {
      if let status = try? await status(deadline: .seconds(1)) { return status }
      try await Task.sleep(for: .milliseconds(2))
    }
  }
}
