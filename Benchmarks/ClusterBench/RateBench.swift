import BenchSupport
import CadastreClient
import Catalog
import Etcd
import Foundation
import Replay

/// Commands and plain puts a second, and how long each takes, in turn.
struct RateBench {
  /// What is called, by the name of its figures.
  private typealias Side = (name: String, call: Load.Call)

  private let bench: ClusterBench
  private let leader: NodeAddress

  init(_ bench: ClusterBench, _ leader: NodeAddress) throws {
    guard !bench.etcd.isEmpty, !bench.cluster.isEmpty else {
      throw UsageError("--etcd or --cluster is missing")
    }
    (self.bench, self.leader) = (bench, leader)
  }

  func run() async throws {
    let etcd = try EtcdClient(EtcdOptions(endpoints: bench.etcd))
    etcd.start()
    defer { etcd.shutdown() }
    try await NodeClient.with(leader) { node in
      guard let address = bench.other else { return try await run(etcd, node, nil) }
      try await NodeClient.with(address) { try await run(etcd, node, $0) }
    }
  }

  private func run(_ etcd: EtcdClient, _ leader: NodeClient, _ other: NodeClient?) async throws {
    try await leader.untilReady()
    try await other?.untilReady()
    let value = try await entry(of: leader, in: EtcdStream(etcd, cluster: bench.cluster))
    var sides: [Side] = [
      ("leader", { try await leader.submit(Commands.split()) }),
      ("put", { try await etcd.put(value, under: Data("bench/\(UUID())".utf8)) }),
    ]
    if let other {
      sides.append(("member", { try await other.submit(Commands.split()) }))
    }
    for clients in bench.clients {
      let load = Load(clients: clients)
      // Connections are made, and pools filled, by what is not counted.
      for side in sides { _ = try await load.run(seconds: bench.seconds / 4, side.call) }
      for round in 1...bench.rounds {
        for side in sides {
          let start = Start()
          let times = try await load.run(seconds: bench.seconds, side.call)
          report(
            "cluster.rate",
            [
              "side": side.name, "clients": clients, "round": round, "value_bytes": value.count,
            ], count: times.count, unit: "calls", since: start, times)
        }
      }
    }
  }

  /// The entry that a command makes, as the cluster's stream has it.
  private func entry(of leader: NodeClient, in stream: EtcdStream) async throws -> Data {
    let receipt = try await leader.submit(Commands.split())
    do {
      try await stream.follow(after: LogPosition(receipt.position.rawValue - 1)) { append in
        if let entry = append.entries.first { throw Found(bytes: Data(entry.bytes)) }
      }
    } catch let found as Found {
      return found.bytes
    }
    throw UsageError("the cluster's stream ended")
  }
}

/// Ends a stream with what was looked for.
private struct Found: Error {
  let bytes: Data
}
