import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import StateMachines
import TestSupport
import Testing

@testable import Node

/// Kills and pauses processes that lead regions' streams, while callers ask for timestamps of their
/// groups: no timestamp is issued twice, and a caller's only rise, whoever leads.
@Suite(.serialized, .timeLimit(.minutes(5))) struct RegionCrashTests {
  private static let groups = (UInt64(1)...3).map { GroupID($0) }
  private let folder = TemporaryFolder()

  /// A node of the catalog that can be killed and started again at the same address.
  private final class Server {
    let (name, region): (String, String)
    let address: NodeAddress
    private let arguments: [String]
    private let addressFile: String
    private(set) var process: CadastreProcess?

    init(_ name: String, _ region: String, in folder: TemporaryFolder, _ more: String...) throws {
      (self.name, self.region) = (name, region)
      address = NodeAddress(host: "127.0.0.1", port: Int(quietPort()))
      addressFile = folder.appending("\(name).address")
      arguments =
        [
          "serve", "--log", folder.appending(name), "--address-file", addressFile, "--listen",
          "\(address)", "--member", name, "--region", region, "--log-level", "error",
          "--clock-window", "400ms", "--renew-every", "100ms", "--catalog-limit", "1500ms",
          "--probe-every", "50ms", "--membership-timeout", "60s",
        ] + more
    }

    func start() async throws {
      try? FileManager.default.removeItem(atPath: addressFile)
      let process = try CadastreProcess(arguments)
      self.process = process
      while (try? String(contentsOfFile: addressFile, encoding: .utf8))?.hasSuffix("\n") != true {
        try #require(process.isRunning, "\(address) ended: \(process.errorsSoFar)")
        try await Task.sleep(for: .milliseconds(10))
      }
    }

    func kill() async throws {
      process?.signal(SIGKILL)
      _ = try await process?.wait()
    }

    func stop() async throws {
      let ended = try await process?.stop()
      #expect(ended?.status == 0, "\(ended?.errors ?? "")")
    }
  }

  private func change(_ server: Server, _ change: MembershipChange) async throws {
    _ = try await NodeClient.with(server.address) { client in
      try await client.submit(
        Command(id: .fresh(), actor: "test", reason: "a test", change: .membership(change)))
    }
  }

  /// Makes a node a member at once; by itself it would take its time.
  private func join(_ server: Server, to leader: Server) async throws {
    try await change(
      leader,
      .join(
        try MemberName(server.name), address: "\(server.address)",
        region: try Region(server.region),
        capabilities: .known))
  }

  private func catalog() async throws -> Server {
    let made = try await cadastre(
      "init", folder.appending("us-1"), "--member", "us-1", "--region", "us")
    #expect(made.status == 0, "\(made.errors)")
    let server = try Server("us-1", "us", in: folder)
    try await server.start()
    try await join(server, to: server)
    return server
  }

  /// Waits until all groups are led by a member, as somebody hears of it.
  private func areLed(by member: String, at server: Server) async throws -> Bool {
    let all = GroupSet(groups: Self.groups)
    let clocks = try? await NodeClient.with(server.address) { client in
      try await client.clocks(of: all, deadline: .seconds(2))
    }
    guard let clocks, !clocks.isEmpty else { return false }
    return clocks.allSatisfy { $0.standing == .led && $0.leader == member }
  }

  /// A leader is killed, or only paused, while it hands out timestamps. One that is paused is followed by
  /// a mirror that is promoted on nobody's word.
  @Test(arguments: [false, true])
  func aPromotedMirrorIssuesNothingTwice(isPaused: Bool) async throws {
    let seed = testSeeds(count: 1)[0]
    var generator = SeededGenerator(seed: seed)
    let place: Comment = "seed \(seed), \(isPaused ? "paused" : "killed")"
    let (tokyo, leader) = (try Region("tokyo"), try await catalog())
    let follow = ["--follow", "\(leader.address)"]
    let old = try Server(
      "tokyo-1", "tokyo", in: folder, "--lead-region", "tokyo", follow[0], follow[1])
    let mirror = try Server(
      "osaka-1", "osaka", in: folder, "--mirror-region", "tokyo", follow[0], follow[1])
    try await change(leader, .setHomes(Self.groups, tokyo, evenIfViolating: false))
    for server in [old, mirror] {
      try await join(server, to: leader)
      try await server.start()
    }
    try await until {
      let answer = try await NodeClient.with(mirror.address) { try await $0.regions() }
      return answer.regions.first?.groups == 3 && answer.regions.first?.mirror.connected == true
    }
    let (count, isDone) = (Shared(0), Shared(false))
    let addresses = [old.address, mirror.address]
    async let asked = IssuedTimestamps.collect(
      of: Self.groups, at: addresses, count, until: isDone)
    let before = Int.random(in: 100...400, using: &generator)
    try await until { count.value >= before }
    if isPaused { old.process?.signal(SIGSTOP) } else { try await old.kill() }
    try await change(leader, .declareLost(tokyo))
    try await until {
      let promoted = try? await NodeClient.with(mirror.address) {
        try await $0.promote(tokyo, leaderStopped: !isPaused, deadline: .seconds(5))
      }
      return promoted != nil
    }
    if isPaused { old.process?.signal(SIGCONT) } else { try await old.start() }
    let after = count.value + 200
    try await until { count.value >= after }
    // Whatever it was told meanwhile, the old one leads no more.
    try await until {
      let answer = try? await NodeClient.with(old.address) {
        try await $0.regions(deadline: .seconds(2))
      }
      return answer?.regions.first?.role == .fenced
    }
    isDone.change { $0 = true }
    let issued = try await asked
    issued.check(place)
    #expect(issued.groupCount == 3, place)
    try await mirror.stop()
    try await old.stop()
    try await leader.stop()
  }

  /// Groups move from one region to the other and back, and whoever takes part is killed meanwhile.
  @Test func movesOutliveWhoeverTakesPart() async throws {
    let seed = testSeeds(count: 1)[0]
    var generator = SeededGenerator(seed: seed)
    let place: Comment = "seed \(seed)"
    let leader = try await catalog()
    let follow = ["--follow", "\(leader.address)"]
    let names = ["tokyo", "osaka"]
    let servers = try names.map { name in
      try Server("\(name)-1", name, in: folder, "--lead-region", name, follow[0], follow[1])
    }
    try await change(leader, .setHomes(Self.groups, try Region("tokyo"), evenIfViolating: false))
    for server in servers {
      try await join(server, to: leader)
      try await server.start()
    }
    try await until { try await areLed(by: "tokyo-1", at: leader) }
    let (count, isDone) = (Shared(0), Shared(false))
    let addresses = servers.map(\.address)
    async let asked = IssuedTimestamps.collect(
      of: Self.groups, at: addresses, count, until: isDone)
    for round in 1...4 {
      let to = names[round % 2]
      let enough = count.value + Int.random(in: 10...60, using: &generator)
      try await until { count.value >= enough }
      let arguments = ["region", "move-group", "1-3", "--to", to, "--server", "\(leader.address)"]
      let command = try CadastreProcess(arguments)
      try await Task.sleep(for: .milliseconds(Int.random(in: 30...400, using: &generator)))
      let victim = servers[Int.random(in: 0...1, using: &generator)]
      try await victim.kill()
      // Whoever asked is gone, too, and asks again.
      command.signal(SIGKILL)
      _ = try await command.wait()
      try await victim.start()
      let again = try await CadastreProcess(arguments).wait()
      #expect(again.status == 0, "\(place): \(again.errors)")
      try await until { try await areLed(by: "\(to)-1", at: leader) }
      // In one place: the other says that it leads none of them.
      let other = servers[(round + 1) % 2]
      let regions = try await NodeClient.with(other.address) { try await $0.regions() }
      #expect(regions.regions.first?.ledGroups == 0, place)
      let some = count.value + 10
      try await until { count.value >= some }
    }
    isDone.change { $0 = true }
    try await asked.check(place)
    for server in servers { try await server.stop() }
    try await leader.stop()
  }
}
