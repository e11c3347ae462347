import BenchSupport
import CadastreClient
import Catalog
import Etcd
import Replay
import Synchronization

/// How long it takes from a command to the moment at which a watcher of another member is told of its
/// version, one command at a time.
struct LagBench {
  private let bench: ClusterBench
  private let leader: NodeAddress
  private let other: NodeAddress

  init(_ bench: ClusterBench, _ leader: NodeAddress) throws {
    guard let other = bench.other, !bench.etcd.isEmpty, !bench.cluster.isEmpty else {
      throw UsageError("--other, --etcd or --cluster is missing")
    }
    (self.bench, self.leader, self.other) = (bench, leader, other)
  }

  func run() async throws {
    let etcd = try EtcdClient(EtcdOptions(endpoints: bench.etcd))
    etcd.start()
    defer { etcd.shutdown() }
    let stream = EtcdStream(etcd, cluster: bench.cluster)
    try await NodeClient.with(leader) { leader in
      try await NodeClient.with(other) { other in
        let status = try await leader.untilReady()
        try await other.untilReady()
        try await run(stream, leader, other, from: status)
      }
    }
  }

  private func run(
    _ stream: EtcdStream, _ leader: NodeClient, _ other: NodeClient, from status: NodeStatus
  ) async throws {
    let (appended, shown) = (Moments(), Moments())
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      group.addTask {
        try await stream.follow(after: status.position) { append in
          let moment = now()
          for entry in append.entries { appended.note(entry.entry.version, at: moment) }
        }
      }
      group.addTask {
        try await other.watch(from: status.version) { event in
          if case .delta(let delta) = event { shown.note(delta.to, at: now()) }
        }
      }
      group.addTask { try await measure(leader, appended, shown) }
      // The two others only end by failing.
      try await group.next()
    }
  }

  private func measure(
    _ leader: NodeClient, _ appended: Moments, _ shown: Moments
  ) async throws {
    var (whole, acknowledged) = (Latencies(), Latencies())
    var (sinceAnswer, sinceAppend) = (Latencies(), Latencies())
    for number in -bench.commands / 10..<bench.commands {
      let sent = now()
      let version = try await leader.submit(Commands.split()).version
      let answered = now()
      let (seen, heard) = try await (appended.moment(of: version), shown.moment(of: version))
      guard number >= 0 else { continue }
      acknowledged.add(from: sent, to: answered)
      whole.add(from: sent, to: heard)
      sinceAnswer.add(from: answered, to: heard)
      sinceAppend.add(from: seen, to: heard)
    }
    var figures: [(String, Any)] = [("commands", bench.commands)]
    for (name, times) in [
      ("sent_to_acknowledged", acknowledged), ("sent_to_shown", whole),
      ("acknowledged_to_shown", sinceAnswer), ("appended_to_shown", sinceAppend),
    ] {
      figures.append(("\(name)_p50_us", rounded(times.quantile(0.5))))
      figures.append(("\(name)_p99_us", rounded(times.quantile(0.99))))
    }
    report("cluster.lag", figures)
  }
}

/// When versions were heard of.
private final class Moments: Sendable {
  private let moments = Mutex<[CatalogVersion: UInt64]>([:])

  func note(_ version: CatalogVersion, at moment: UInt64) {
    moments.withLock { $0[version] = moment }
  }

  /// Waits until a version was heard of.
  func moment(of version: CatalogVersion) async throws -> UInt64 {
    while true {
      if let moment = moments.withLock({ $0[version] }) { return moment }
      try await Task.sleep(for: .milliseconds(1))
    }
  }
}
