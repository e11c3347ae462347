import EtcdSupport
import Foundation
import TestSupport
import Testing

/// The commands of an operator, as processes, with a real etcd.
@Suite struct ClusterCommandTests {
  /// What tells one history from another.
  private struct Head: Equatable {
    var position: UInt64
    var version: UInt64
    var digest: String
    var hash: String
  }

  private func head(_ status: CadastreProcess.Ended) throws -> Head {
    #expect(status.status == 0, "\(status.errors)")
    let json = try status.json
    return Head(
      position: try json["position"].number, version: try json["version"].number,
      digest: try json["digest"].string, hash: try json["head_hash"].string)
  }

  @Test func aCatalogMovesIntoAClusterAndBack() async throws {
    try await withTemporaryFolder { folder in
      let etcd = try EtcdServers()
      let log = "etcd://\(etcd.endpoints[0])/prod"
      let (a, b) = (folder.appending(path: "a").path, folder.appending(path: "b").path)
      #expect(try await cadastre("init", a).status == 0)
      #expect(try await cadastre("split", "--at", "m", "--log", a).status == 0)
      let before = try head(await cadastre("status", "--log", a, "--json"))

      let empty = try await cadastre("cluster", "status", "--log", log, "--json")
      #expect(empty.status != 0)
      let adopted = try await cadastre("cluster", "adopt", a, "--log", log, "--json")
      #expect(adopted.status == 0, "\(adopted.errors)")
      #expect(try adopted.json["hash"].string == before.hash)
      // Again: nothing new.
      #expect(try await cadastre("cluster", "adopt", a, "--log", log).status == 0)
      // Nobody leads it alone any more.
      #expect(try await cadastre("split", "--at", "q", "--log", a).status != 0)
      #expect(try await cadastre("serve", "--log", a).status != 0)

      func node(_ name: String) -> ServedNode {
        ServedNode(
          name, in: folder,
          [
            "--log", log, "--folder", folder.appending(path: name).path, "--member", name,
            "--region", "home",
          ])
      }
      let (first, second) = (node("a"), node("b"))
      try await first.start()
      try await second.start()
      let split = try await cadastre(
        "split", "--at", "q", "--server", "\(second.address)", "--json")
      #expect(split.status == 0, "\(split.errors)")
      let after = try head(await cadastre("status", "--server", "\(first.address)", "--json"))
      #expect(after.position == before.position + 1)
      try await until {
        let ended = try await cadastre("cluster", "status", "--log", log, "--json")
        let status = try ended.json
        return try status["members"].array.count == 2 && status["leader"].optionalString != nil
          && status["members"].array.allSatisfy {
            try $0["stored_through"].number == after.position
          }
      }
      // The lead goes to either, at an operator's word.
      for name in ["b", "a"] {
        let moved = try await cadastre(
          "cluster", "leader", "move", name, "--log", log, "--json")
        #expect(moved.status == 0, "\(moved.errors)")
        #expect(try moved.json["leader"].string == name)
        let status = try await cadastre("cluster", "status", "--log", log, "--json").json
        #expect(try status["leader"].string == name)
        #expect(try status["term"].number == moved.json["term"].number)
      }
      let nobody = try await cadastre("cluster", "leader", "move", "x", "--log", log)
      #expect(nobody.status == 5)
      #expect(nobody.errors.contains("those that are: a, b"))
      let led = try await cadastre("cluster", "leave", a, "--log", log, "--json")
      #expect(led.status != 0)
      try await second.stop()
      try await first.stop()

      // What the other member lacks stays in the cluster.
      let left = try await cadastre("cluster", "leave", b, "--log", log, "--json")
      #expect(left.status == 0, "\(left.errors)")
      #expect(try left.json["hash"].string == after.hash)
      #expect(try head(await cadastre("status", "--log", b, "--json")) == after)
      #expect(try await cadastre("verify", "--log", b).status == 0)
      #expect(try await cadastre("split", "--at", "x", "--log", b).status == 0)
      // The cluster is no more, and the other folder knows only that.
      let gone = try await cadastre("cluster", "leave", a, "--log", log, "--json")
      #expect(gone.status != 0)
      #expect(try await cadastre("serve", "--log", a).status != 0)
    }
  }

  @Test func aLostClusterIsRestoredFromItsBackup() async throws {
    try await withTemporaryFolder { folder in
      func path(_ name: String) -> String { folder.appending(path: name).path }
      let backup = path("prod.backup")
      let before: Head
      do {
        let etcd = try EtcdServers()
        let log = "etcd://\(etcd.endpoints[0])/prod"
        #expect(try await cadastre("cluster", "init", path("a"), "--log", log).status == 0)
        let node = ServedNode(
          "a", in: folder,
          ["--log", log, "--folder", path("a"), "--member", "a", "--region", "home"])
        try await node.start()
        try await until {
          try await cadastre("split", "--at", "m", "--server", "\(node.address)").status == 0
        }
        // While it serves.
        let made = try await cadastre(
          "cluster", "backup", path("a"), "--out", backup, "--log", log, "--json")
        #expect(made.status == 0, "\(made.errors)")
        before = try head(await cadastre("status", "--server", "\(node.address)", "--json"))
        #expect(before.version == 2)
        // Where the cluster is, nothing is restored.
        let refused = try await cadastre(
          "cluster", "restore", backup, "--into", path("b"), "--log", log, "--json")
        #expect(refused.status == 4)
        #expect(!FileManager.default.fileExists(atPath: path("b")))
        try await node.stop()
      }
      let etcd = try EtcdServers()
      let log = "etcd://\(etcd.endpoints[0])/prod"
      let restored = try await cadastre(
        "cluster", "restore", backup, "--into", path("b"), "--log", log, "--json")
      #expect(restored.status == 0, "\(restored.errors)")
      let node = ServedNode(
        "b", in: folder,
        ["--log", log, "--folder", path("b"), "--member", "b", "--region", "home"])
      try await node.start()
      #expect(try head(await cadastre("status", "--server", "\(node.address)", "--json")) == before)
      try await until {
        try await cadastre("split", "--at", "q", "--server", "\(node.address)").status == 0
      }
      try await node.stop()
      #expect(try await cadastre("verify", "--log", path("b")).status == 0)
      // A folder that is no member's has no part in the cluster.
      #expect(try await cadastre("init", path("c")).status == 0)
      let foreign = try await cadastre(
        "cluster", "backup", path("c"), "--out", path("c.backup"), "--log", log, "--json")
      #expect(try foreign.error["code"].string == "not-a-member")
    }
  }
}
