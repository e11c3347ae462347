import CadastreClient
import CadastreProtocol
import Catalog
import EtcdSupport
import Foundation
import StateMachines
import TestSupport
import Testing

@testable import Node

/// Nodes that share a region's stream on an etcd of its own, beside a catalog that is on another: processes
/// that are killed while callers ask for timestamps.
@Suite(.serialized, .timeLimit(.minutes(5))) struct SharedRegionTests {
  private static let groups = (UInt64(1)...3).map { GroupID($0) }

  private func change(_ node: ServedNode, _ change: MembershipChange) async throws {
    let command = Command(
      id: .fresh(), actor: "test", reason: "a test", change: .membership(change))
    try await until {
      let receipt = try? await NodeClient.with(node.address) {
        try await $0.submit(command, deadline: .seconds(20))
      }
      return receipt != nil
    }
  }

  private func status(_ node: ServedNode) async -> Cadastre_V1_RegionStatus? {
    let answer = try? await NodeClient.with(node.address) {
      try await $0.regions(deadline: .seconds(2))
    }
    return answer?.regions.first
  }

  /// Waits until one of the nodes leads all groups, and says which.
  private func leader(of nodes: [ServedNode]) async throws -> ServedNode {
    while true {
      for node in nodes {
        if let status = await status(node), status.role == .leader, status.ledGroups == 3 {
          return node
        }
      }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  @Test func whoeverLeadsNoTimestampIsIssuedTwice() async throws {
    try await withTemporaryFolder { folder in
      let (catalogs, regions) = (try EtcdServers(), try EtcdServers())
      let log = "etcd://\(catalogs.endpoints[0])/catalog"
      let (tokyo, region) = ("etcd://\(regions.endpoints[0])/tokyo", try Region("tokyo"))
      let nodes = ["tokyo-1", "tokyo-2"].map { name in
        ServedNode(
          name, in: folder,
          [
            "--log", log, "--folder", folder.appending(path: name).path, "--member", name,
            "--region", "tokyo", "--lead-region", "tokyo", "--region-log", tokyo,
            "--clock-window", "800ms", "--renew-every", "200ms", "--probe-every", "50ms",
            "--membership-timeout", "60s",
          ])
      }
      let made = try await cadastre(
        "init", nodes[0].folder, "--member", "tokyo-1", "--region", "tokyo")
      #expect(made.status == 0, "\(made.errors)")
      let adopted = try await cadastre("cluster", "adopt", nodes[0].folder, "--log", log)
      #expect(adopted.status == 0, "\(adopted.errors)")
      for node in nodes {
        try await node.start()
        try await change(
          node,
          .join(
            try MemberName(node.name), address: "\(node.address)", region: region,
            capabilities: .known))
      }
      try await change(nodes[0], .setHomes(Self.groups, region, evenIfViolating: false))
      let first = try await leader(of: nodes)
      let second = try #require(nodes.first { $0.name != first.name })
      let (count, isDone) = (Shared(0), Shared(false))
      async let asked = IssuedTimestamps.collect(
        of: Self.groups, at: nodes.map(\.address), count, until: isDone)
      func untilSome() async throws {
        let enough = count.value + 150
        try await until { count.value >= enough }
      }
      try await untilSome()
      // The one that is gone comes back, to follow; then the other goes, while nobody reaches the catalog.
      for (old, new) in [(first, second), (second, first)] {
        if old.name == second.name { catalogs.pause(0) }
        try await old.kill()
        #expect(try await leader(of: nodes).name == new.name)
        try await untilSome()
        catalogs.resume(0)
        try await old.start()
        try await until { await status(old)?.mirror.connected == true }
      }
      // One that stops in good order leaves nothing to wait for.
      try await first.stop()
      #expect(try await leader(of: nodes).name == second.name)
      try await untilSome()
      isDone.change { $0 = true }
      let issued = try await asked
      issued.check("two nodes, one region")
      #expect(issued.groupCount == 3)
      // The folder is nobody's alone.
      let alone = try await cadastre(
        "serve", "--log", log, "--folder", first.folder, "--member", first.name, "--region",
        "tokyo",
        "--lead-region", "tokyo")
      #expect(alone.status != 0)
      #expect(alone.errors.contains("tokyo"))
      try await second.stop()
      withExtendedLifetime((catalogs, regions)) {}
    }
  }
}
