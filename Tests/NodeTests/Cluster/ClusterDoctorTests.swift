import CadastreClient
import Catalog
import EtcdSupport
import Foundation
import Replay
import TestSupport
import Testing

@testable import Node

/// Making a cluster and examining it, as processes, with a real etcd.
@Suite struct ClusterDoctorTests {
  @Test func aNewClusterIsMadeOnceAndExamined() async throws {
    try await withTemporaryFolder { folder in
      let etcd = try EtcdServers()
      let log = "etcd://\(etcd.endpoints[0])/prod"
      func path(_ name: String) -> String { folder.appending(path: name).path }

      let early = try await cadastre("cluster", "doctor", "--log", log, "--json")
      #expect(early.status == 1)
      #expect(try verdicts(early)["log"] == "wrong")

      let made = try await cadastre("cluster", "init", path("a"), "--log", log, "--json")
      #expect(made.status == 0, "\(made.errors)")
      #expect(try made.json["version"].number == 1)
      // Another is refused, and leaves nothing behind.
      let again = try await cadastre("cluster", "init", path("c"), "--log", log, "--json")
      #expect(again.status == 4)
      #expect(try again.error["code"].string == "cluster-exists")
      #expect(!FileManager.default.fileExists(atPath: path("c")))
      let unled = try await cadastre("cluster", "doctor", "--log", log, "--json")
      #expect(unled.status == 1)
      #expect(try verdicts(unled)["leader"] == "wrong")

      let nodes = ["a", "b"].map { name in
        ServedNode(
          name, in: folder,
          ["--log", log, "--folder", path(name), "--member", name, "--region", "home"])
      }
      for node in nodes { try await node.start() }
      try await until {
        let isWell = try await cadastre("cluster", "doctor", "--log", log).status == 0
        let count = try await members(of: log).count
        return isWell && count == 2
      }
      for member in try await members(of: log) {
        #expect(try member["state"].string == "up")
        #expect(try member["version"].number == 1)
      }

      try await nodes[1].kill()
      let after = try await cadastre("cluster", "doctor", "--log", log, "--json")
      #expect(after.status == 1)
      #expect(try verdicts(after)["member b"] == "wrong")
      #expect(try verdicts(after)["member a"] == "ok")
      let states = try await members(of: log).map { try $0["answers"].bool }
      #expect(states == [true, false])
      try await nodes[0].stop()
    }
  }

  private func members(of log: String) async throws -> [JSONDocument] {
    try await cadastre("cluster", "members", "--log", log, "--json").json["members"].array
  }

  /// The verdict on each thing that was looked at.
  private func verdicts(_ ended: CadastreProcess.Ended) throws -> [String: String] {
    var verdicts: [String: String] = [:]
    for finding in try ended.json["findings"].array {
      verdicts[try finding["subject"].string] = try finding["verdict"].string
    }
    return verdicts
  }
}

/// What the examination makes of what it is told.
@Suite struct ClusterFindingsTests {
  private func address(_ port: Int) throws -> NodeAddress { try NodeAddress("127.0.0.1:\(port)") }

  private func overview(
    stored: [UInt64], last: UInt64, leader: Int? = 0, used: UInt64 = 0
  ) throws -> ClusterOverview {
    let members = try stored.enumerated().map { index, stored in
      MemberProgress(
        member: ClusterMember(name: try MemberName("m\(index)"), address: "127.0.0.1:\(index + 1)"),
        storedThrough: LogPosition(stored))
    }
    let tail = LogTail(
      position: LogPosition(last),
      hash: EntryHash(of: UnsafeRawBufferPointer(start: nil, count: 0)),
      version: CatalogVersion(last))
    return ClusterOverview(
      catalog: .random(), tail: tail, trimmedThrough: .zero,
      leader: leader.map { LeaderRecord(member: members[$0].member, term: ClusterTerm(1)) },
      members: members, usage: SharedStreamUsage(used: used, quota: 100))
  }

  private func verdict(_ subject: String, _ findings: ClusterFindings) -> ClusterFindings.Verdict? {
    findings.all.first { $0.subject == subject }?.verdict
  }

  @Test(arguments: [(0, 3, ClusterFindings.Verdict?.none), (1, 3, .warning), (2, 3, .wrong)])
  func silentServersAreWrongOnceTooFewAreLeft(
    silent: Int, of count: Int, _ expected: ClusterFindings.Verdict?
  ) throws {
    var findings = ClusterFindings()
    findings.examine(
      servers: try (0..<count).map {
        (try address($0 + 1), $0 < silent ? .failure(.unavailable("gone")) : .success("3.4.23"))
      })
    #expect(findings.all.first { $0.verdict != .good }?.verdict == expected)
  }

  @Test(arguments: [(50 as UInt64, ClusterFindings.Verdict?.none), (49, .warning), (0, .warning)])
  func aMemberThatHoldsTheWindowBackIsNamed(
    stored: UInt64, _ expected: ClusterFindings.Verdict?
  ) throws {
    var policy = WindowPolicy()
    policy.limit = 100
    var findings = ClusterFindings()
    findings.examine(try overview(stored: [100, stored], last: 100), window: policy)
    #expect(verdict("window", findings) == expected)
    #expect(findings.count(of: .wrong) == 0)
    policy.limit = 40
    findings.examine(try overview(stored: [100, stored], last: 100), window: policy)
    #expect(findings.count(of: .wrong) == 1)
  }

  @Test(arguments: [(80 as UInt64, ClusterFindings.Verdict.good), (81, .warning), (96, .wrong)])
  func etcdIsFullBeforeItRefuses(used: UInt64, _ expected: ClusterFindings.Verdict) throws {
    var findings = ClusterFindings()
    findings.examine(try overview(stored: [1, 1], last: 1, used: used), window: WindowPolicy())
    #expect(verdict("etcd space", findings) == expected)
  }
}
