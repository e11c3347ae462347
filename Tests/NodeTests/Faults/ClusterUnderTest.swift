import CadastreClient
import EtcdSupport
import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Node

extension EtcdServers {
  /// What can be done to one of them at a time, so that the others are a majority.
  fileprivate var harms: [Harm] {
    endpoints.indices.flatMap { index in
      [
        Harm(target: "etcd", name: "kill etcd\(index)") {
          self.kill(index)
        } end: {
          try self.start(index)
        },
        Harm(target: "etcd", name: "hold etcd\(index)") {
          self.pause(index)
        } end: {
          self.resume(index)
        },
      ]
    }
  }

  /// Each of them, ended in good order and started again, until it serves.
  fileprivate var restarts: [Harm] {
    endpoints.indices.map { index in
      Harm(target: "etcd", name: "restart etcd\(index)") {
        try await self.stop(index)
      } end: {
        try self.start(index)
        try await until { self.isServing(index) }
      }
    }
  }
}

/// Three nodes that share a log on three etcds, each node with connections of its own to them.
struct ClusterUnderTest: Sendable {
  let etcds: EtcdServers
  let nodes: [ServedNode]
  /// Of each node, its ways to the etcds.
  let links: [[NetworkProxy]]

  /// Starts a cluster of a new catalog, each node with the clock that is given for it, if any.
  static func start(
    in folder: URL, seed: UInt64, clocks: [ShiftedClock] = []
  ) async throws -> ClusterUnderTest {
    let etcds = try EtcdServers(count: 3)
    var (nodes, links): ([ServedNode], [[NetworkProxy]]) = ([], [])
    for number in 0..<3 {
      let ways = try etcds.endpoints.map {
        try NetworkProxy(to: try NodeAddress($0), seed: seed &+ UInt64(number))
      }
      links.append(ways)
      nodes.append(
        ServedNode(
          "node\(number)", in: folder, of: ways.map(\.address),
          environment: clocks.isEmpty ? [:] : clocks[number].environment))
    }
    let made = try await cadastre("init", nodes[0].folder)
    #expect(made.status == 0, "\(made.errors)")
    for node in nodes { try await node.start() }
    return ClusterUnderTest(etcds: etcds, nodes: nodes, links: links)
  }

  /// What it takes to put a new version everywhere: one process after the other, none before the one
  /// before is healthy. The seed has the order.
  func rollingRestart(using generator: inout SeededGenerator) -> [HarmRound] {
    let etcds = etcds.restarts.shuffled(using: &generator)
    let nodes = nodes.map(Harm.restartUntilHealthy).shuffled(using: &generator)
    return (etcds + nodes).map {
      HarmRound(harms: [$0], duration: .milliseconds(200), commandCount: 20)
    }
  }

  func stop() {
    for link in links.joined() { link.stop() }
  }

  var underTest: NodesUnderTest {
    NodesUnderTest(
      // One that was deposed and does not know it yet answers from what it has.
      nodes: nodes, currentNodes: [],
      harms: nodes.flatMap { [.kill($0), .hold($0), .restart($0)] }
        + zip(nodes, links).flatMap { node, links in
          [.cut(links, "etcds of \(node.name)"), .stall(links, "etcds of \(node.name)")]
        } + etcds.harms)
  }
}

extension ServedNode {
  /// A member of the cluster whose log is on `etcds`.
  fileprivate convenience init(
    _ name: String, in folder: URL, of etcds: [NodeAddress], environment: [String: String]
  ) {
    let endpoints = etcds.map(\.description).joined(separator: ",")
    self.init(
      name, in: folder,
      [
        "--log", "etcd://\(endpoints)/test", "--folder", folder.appending(path: name).path,
        "--member", name, "--region", "home",
      ], environment: environment)
  }
}

/// Nodes of a cluster and its etcds are killed, held, restarted and cut off, as seeds have it, while
/// callers read and change a few routes by way of all nodes.
@Suite(.serialized, .timeLimit(.minutes(10))) struct ClusterFaultTests {
  @Test(arguments: faultSeeds(count: 1))
  func callersSeeOneCatalog(seed: UInt64) async throws {
    try await withTemporaryFolder { folder in
      let cluster = try await ClusterUnderTest.start(in: folder, seed: seed)
      defer { cluster.stop() }
      // Long enough that some lose the lead, short enough that others do not.
      try await cluster.underTest.prove(seed: seed, rounds: 6, longest: .seconds(6))
      withExtendedLifetime(cluster) {}
    }
  }

  @Test(arguments: faultSeeds(count: 1))
  func everythingIsRestartedInTurn(seed: UInt64) async throws {
    try await withTemporaryFolder { folder in
      let cluster = try await ClusterUnderTest.start(in: folder, seed: seed)
      defer { cluster.stop() }
      try await cluster.underTest.prove(seed: seed) { cluster.rollingRestart(using: &$0) }
      withExtendedLifetime(cluster) {}
    }
  }
}
