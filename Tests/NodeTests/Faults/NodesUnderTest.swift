import CadastreClient
import Catalog
import Foundation
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// Nodes of one catalog, processes of their own, and what can be done to them.
struct NodesUnderTest: Sendable {
  /// The first has the whole log from the beginning in its folder.
  var nodes: [ServedNode]
  /// Those that answer with all that was acknowledged before they were asked, asked for no version.
  var currentNodes: Set<Int>
  var harms: [Harm]

  private static let registerCount = 5
  private static let clientCount = 6

  /// Harms the nodes, as `seed` has it, under callers; then proves that what they were told is what
  /// one catalog without faults would have told them, and that all nodes keep the same record of it.
  func prove(
    seed: UInt64, rounds: Int = 6, longest: Duration = .milliseconds(500)
  ) async throws {
    try await prove(seed: seed) { generator in
      HarmRound.schedule(of: harms, count: rounds, longest: longest, using: &generator)
    }
  }

  /// As ``prove(seed:rounds:longest:)`` does, with rounds that `schedule` makes.
  func prove(
    seed: UInt64, _ schedule: (inout SeededGenerator) -> [HarmRound]
  ) async throws {
    var generator = SeededGenerator(seed: seed)
    let schedule = schedule(&generator)
    print("seed \(seed): \(schedule.map(\.description).joined(separator: ", "))")
    let clientSeeds = (0..<Self.clientCount).map { _ in generator.next() }
    var connection = ConnectionOptions()
    connection.maximumPause = .milliseconds(100)
    let calls = try nodes.map { try NodeClient($0.address, connection: connection) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for client in calls { group.addTask { try await client.run() } }
      defer { group.cancelAll() }
      let registers = try await RegisterClients.makeRegisters(
        count: Self.registerCount, by: calls[0])
      try await haveRoutes(calls)
      let clients = RegisterClients(registers, nodes: calls, currentNodes: currentNodes)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for (client, seed) in clientSeeds.enumerated() {
          group.addTask { try await clients.run(client, seed: seed) }
        }
        // A caller that fails ends the whole: nobody would wait for its answers.
        group.addTask {
          for round in schedule { try await carryOut(round, under: clients) }
          clients.isDone.change { $0 = true }
        }
        try await group.waitForAll()
      }
      try await expectEqual(calls)
      for node in nodes { try await node.stop() }
      let proof = FaultProof(clients, seed: seed, schedule: schedule)
      print("seed \(seed): \(proof.summary)")
      try proof.check(nodes.map(\.folder))
    }
  }

  /// Waits until no node is without routes, which it would say if it were asked for no version.
  private func haveRoutes(_ calls: [NodeClient]) async throws {
    for client in calls {
      try await until { (try? await client.status(deadline: .seconds(1)).routeCount) ?? 0 > 0 }
    }
  }

  private func carryOut(_ round: HarmRound, under clients: RegisterClients) async throws {
    for harm in round.harms { try await harm.begin() }
    try await Task.sleep(for: round.duration)
    for harm in round.harms { try await harm.end() }
    let count = clients.doneCount.value + round.commandCount
    try await until { clients.doneCount.value >= count }
  }

  /// Waits until all nodes have stored the same entries; their states are the same then.
  private func expectEqual(_ calls: [NodeClient]) async throws {
    var statuses: [NodeStatus] = []
    try await until {
      statuses = []
      for client in calls {
        if let status = try? await client.status(deadline: .seconds(1)) { statuses.append(status) }
      }
      return statuses.count == calls.count && Set(statuses.map(\.position)).count == 1
    }
    #expect(Set(statuses.map(\.digest)).count == 1)
    #expect(Set(statuses.map(\.headHash)).count == 1)
    #expect(Set(statuses.map(\.version)).count == 1)
  }
}

/// How many seeds of faults to run: `CADASTRE_FAULT_SEEDS`, from `CADASTRE_SEED` on where that is given.
func faultSeeds(count: Int) -> [UInt64] {
  guard let text = ProcessInfo.processInfo.environment["CADASTRE_FAULT_SEEDS"] else {
    return testSeeds(count: count)
  }
  guard let count = Int(text), count > 0 else {
    preconditionFailure("CADASTRE_FAULT_SEEDS=\(text) is no number above 0")
  }
  let first = testSeeds(count: 1)[0]
  return (0..<UInt64(count)).map { first &+ $0 }
}
