import CadastreClient
import Catalog
import EtcdSupport
import Foundation
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// Members, regions and recovery with real nodes.
@Suite(.oneEtcd, .serialized, .timeLimit(.minutes(5))) struct MembersNodeTests {
  /// A node that can be killed and started again at the same address.
  private final class Server {
    let name: String
    let folder: String
    private let region: String
    private let leader: String?
    private let addressFile: String
    private var process: CadastreProcess?
    private(set) var address = "127.0.0.1:0"

    init(_ region: String, in folder: URL, following leader: String? = nil) {
      name = region + "-1"
      self.region = region
      self.folder = folder.appending(path: name).path
      self.leader = leader
      addressFile = folder.appending(path: "\(name).address").path
    }

    func start() async throws {
      try? FileManager.default.removeItem(atPath: addressFile)
      let process = try CadastreProcess(
        [
          "serve", "--log", folder, "--listen", address, "--address-file", addressFile,
          "--region", region, "--member", name, "--membership-timeout", "800ms", "--log-level",
          "error",
        ] + (leader.map { ["--follow", $0] } ?? []))
      self.process = process
      while true {
        if let text = try? String(contentsOfFile: addressFile, encoding: .utf8),
          text.hasSuffix("\n")
        {
          address = String(text.dropLast())
          return
        }
        try #require(process.isRunning, "\(folder) ended: \(process.errorsSoFar)")
        try await Task.sleep(for: .milliseconds(10))
      }
    }

    func kill() async throws {
      process?.signal(SIGKILL)
      _ = try await process?.wait()
    }

    func stop() async throws { try await process?.stop() }
  }

  /// What `members list` says of a region; nil while it is not there.
  private func region(_ name: String, at server: String) async throws -> JSONDocument? {
    let listed = try await cadastre("members", "list", "--server", server, "--json")
    #expect(listed.status == 0, "\(listed.errors)")
    return try listed.json["regions"].array.first { try $0["name"].string == name }
  }

  private func wait(
    for status: String, of name: String, at server: String, swept: Bool = false
  ) async throws {
    for _ in 0..<600 {
      if let found = try await region(name, at: server), try found["status"].string == status,
        try !swept || found["swept"].bool
      {
        return
      }
      try await Task.sleep(for: .milliseconds(50))
    }
    Issue.record("region \(name) did not become \(status)")
  }

  /// A region's nodes die; the others see it, and what it takes to bring its routes back is run by hand.
  @Test func aLostRegionIsRecoveredAndReturns() async throws {
    try await withTemporaryFolder { folder in
      let europe = Server("europe", in: folder)
      func run(_ words: String, status: Int32 = 0) async throws -> CadastreProcess.Ended {
        let arguments =
          words.split(separator: " ").map(String.init) + ["--server", europe.address, "--json"]
        let ended = try await CadastreProcess(arguments).wait()
        #expect(ended.status == status, "\(words): \(ended.errors)")
        return ended
      }
      #expect(try await cadastre("init", europe.folder).status == 0)
      try await europe.start()
      let asia = Server("asia", in: folder, following: europe.address)
      let america = Server("america", in: folder, following: europe.address)
      try await asia.start()
      try await america.start()

      _ = try await run("split --at b --at d --at f --at h")
      _ = try await run("members enable cap_members_v1")
      _ = try await run("members home 1 --in asia")
      _ = try await run("members home 2 3 --in europe")
      _ = try await run("members prefer asia --order europe,america")
      // All three join by themselves.
      for name in ["asia", "america", "europe"] {
        try await wait(for: "up", of: name, at: europe.address)
      }
      for _ in 0..<600 {
        let listed = try await run("members list")
        if try listed.json["members"].array.count == 3 { break }
        try await Task.sleep(for: .milliseconds(20))
      }
      _ = try await run("recover plan --region asia", status: 4)

      try await asia.kill()
      try await wait(for: "lost", of: "asia", at: europe.address, swept: true)
      let check = try await run("placement check")
      #expect(try check.json["violations"].number == 0)
      let refused = try await run("set-state 1 --to active", status: 4)
      #expect(try refused.error["code"].string.contains("region"))

      let plan = folder.appending(path: "plan.json").path
      let planned = try await run("recover plan --region asia --out \(plan)")
      #expect(try planned.json["routes"].number == 5)
      #expect(try planned.json["may_be_lost"].array.count == 2)
      #expect(try planned.json["steps"].array[0].array[0]["to_region"].string == "europe")
      let applied = try await run("recover apply \(plan)")
      #expect(try applied.json["promoted"].number == 5)
      let again = try await run("recover apply \(plan)")
      #expect(try again.json["applied"].number == 0)
      let routes = try await run("routes")
      #expect(routes.output.contains("active") && !routes.output.contains("soft-failed"))

      // A plan that somebody changed is none.
      let text = try String(contentsOfFile: plan, encoding: .utf8)
      try text.replacingOccurrences(of: "\"epoch\":1", with: "\"epoch\":2")
        .write(toFile: plan, atomically: true, encoding: .utf8)
      _ = try await run("recover apply \(plan)", status: 2)

      // It comes back and is told what happened; with its old epoch it cannot write.
      try await asia.start()
      let fenced = try await run("split --at x --origin asia/0", status: 4)
      #expect(fenced.errors.contains("5 promoted to other groups"))
      _ = try await run("recover return --region asia")
      let back = try #require(try await region("asia", at: europe.address))
      #expect(try back["status"].string == "up")
      #expect(try back["epoch"].number == 1)
      _ = try await run("split --at x --origin asia/1")
      // Through its own node again, in its name.
      for _ in 0..<600 {
        let ended = try await cadastre("split", "--at", "z", "--server", asia.address)
        if ended.status == 0 { break }
        try await Task.sleep(for: .milliseconds(50))
      }
      #expect(try await run("resolve z").output.contains("z"))
      for server in [asia, america, europe] { try await server.stop() }
      let verified = try await cadastre("verify", "--log", europe.folder)
      #expect(verified.status == 0, "\(verified.errors)")
    }
  }

  /// A node whose binary lacks a capability serves the version before the entry, and names it.
  @Test(arguments: LogKind.allCases) func anOlderNodeNamesWhatItLacks(log: LogKind) async throws {
    let folder = TemporaryFolder()
    let leader = try await TestNode.leader(folder, on: log)
    try await withNode(leader) { leader in
      _ = try await leader.client.submit(.test(oneRoute))
      let older = try await TestNode(
        .learner(of: leader.address), folder: folder.appending("older")
      ) { $0.store.log.reading = [] }
      try await withNode(older) { older in
        let receipt = try await leader.client.submit(.test(split("m")))
        try await until { older.core.store.current.version == receipt.version }
        _ = try await leader.client.submit(.test(.membership(.enable(.members))))
        try await until {
          try await older.client.status().learner?.lastError.contains("cap_members_v1") ?? false
        }
        let status = try await older.client.status()
        #expect(status.version == receipt.version)
        #expect(status.learner?.lastError.contains("cap_members_v1") == true)
        #expect(try await older.client.resolve(Key("z")).value.span.lower == Key("m"))
      }
    }
  }

  /// Routes that a policy names are promoted by the leader as soon as their region is lost; others wait.
  @Test(arguments: LogKind.allCases)
  func aPolicyPromotesWithoutAnOperator(log: LogKind) async throws {
    let folder = TemporaryFolder()
    let leader = try await TestNode.leader(folder, on: log) { configuration in
      guard let name = try? MemberName("europe-1"), let europe = try? Region("europe") else {
        return
      }
      configuration.member = MemberOptions(name: name, region: europe)
      configuration.member?.timeout = .milliseconds(150)
      configuration.member?.sweepCount = 2
    }
    let (asia, europe) = (try Region("asia"), try Region("europe"))
    try await withNode(leader) { leader in
      func perform(_ change: RouteChange) async throws {
        _ = try await leader.client.submit(.test(change))
      }
      try await perform(oneRoute)
      try await perform(split("d", "h", "m"))
      try await perform(.membership(.enable(.members)))
      try await perform(.membership(.setHomes([GroupID(1)], asia, evenIfViolating: false)))
      try await perform(.membership(.setHomes([GroupID(2)], europe, evenIfViolating: false)))
      try await perform(
        .membership(.setPromotionPolicy(try MemberName("hot"), try KeySpan(Key("d"), Key("m")))))
      // Nobody is there.
      try await perform(
        .membership(
          .join(
            try MemberName("asia-1"), address: "127.0.0.1:1", region: asia,
            capabilities: .known)))
      try await until {
        leader.core.store.current.membership.region(asia)?.promoted == 2
      }
      let state = leader.core.store.current
      let standing = try #require(state.membership.region(asia))
      #expect(standing.status == .lost && standing.epoch == 1 && standing.failed == 4)
      let routes = state.routes.routes(overlapping: .all)
      #expect(routes.map(\.group.rawValue) == [1, 2, 2, 1])
      #expect(
        routes.map(\.state) == [.softFailed, .active, .active, .softFailed])
    }
  }
}
