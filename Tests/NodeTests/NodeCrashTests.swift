import CadastreClient
import Catalog
import Foundation
import GRPCCore
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// Kills leaders and learners, processes of their own, while callers change the catalog.
@Suite(.serialized, .timeLimit(.minutes(5))) struct NodeCrashTests {
  /// Sends commands one after the other, each again under its id until it is acknowledged.
  private static func work(
    _ worker: Int, at address: NodeAddress, until isDone: @escaping @Sendable () -> Bool,
    _ acknowledged: @escaping @Sendable (CommandReceipt) -> Void
  ) async throws {
    try await NodeClient.with(address) { client in
      var number = 0
      while !isDone() {
        let command = Command.test(split("\(worker)/\(number)"))
        number += 1
        while true {
          do {
            let receipt = try await client.submit(command, deadline: .seconds(5))
            acknowledged(receipt)
            break
          } catch {
            let error = NodeError(any: error)
            let passing: [RPCError.Code] = [.unavailable, .deadlineExceeded, .cancelled]
            try #require(passing.contains(error.code), "\(error.code): \(error)")
            try await Task.sleep(for: .milliseconds(20))
          }
        }
      }
    }
  }

  @Test(arguments: testSeeds(count: 2))
  func whatWasAcknowledgedIsThereOnce(seed: UInt64) async throws {
    var generator = SeededGenerator(seed: seed)
    try await withTemporaryFolder { folder in
      let leader = ServedNode("leader", in: folder, ["--patience", "20s"])
      let made = try await cadastre("init", leader.folder)
      #expect(made.status == 0, "\(made.errors)")
      try await leader.start()
      let learner = ServedNode(
        "learner", in: folder, ["--follow", "\(leader.address)", "--patience", "20s"])
      try await learner.start()
      let addresses = [leader.address, learner.address]
      let receipts = Shared<[CommandReceipt]>([])
      let isDone = Shared(false)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for worker in 0..<4 {
          group.addTask {
            // Half of them by way of the learner, which passes them on.
            try await Self.work(worker, at: addresses[worker % 2]) {
              isDone.value
            } _: { receipt in
              receipts.change { $0.append(receipt) }
            }
          }
        }
        for round in 0..<6 {
          let count = receipts.value.count + Int.random(in: 5...40, using: &generator)
          try await until { receipts.value.count >= count }
          let victim = round % 3 == 2 ? learner : leader
          try await victim.kill()
          try await victim.start()
        }
        isDone.change { $0 = true }
        try await group.waitForAll()
      }
      let last = try #require(receipts.value.map(\.position).max())
      try await until {
        try await NodeClient.with(addresses[1]) { try await $0.status().position >= last }
      }
      try await leader.stop()
      try await learner.stop()
      try check(receipts.value, in: leader.folder, and: learner.folder)
    }
  }

  private func check(
    _ receipts: [CommandReceipt], in leader: String, and learner: String
  ) throws {
    let log = try EventLog.open(folder: leader, mode: .readOnly)
    let entries = try log.entries(from: LogPosition(1), maxCount: .max)
    let commands = entries.map(\.entry.command)
    #expect(Set(commands).count == commands.count)
    for receipt in receipts {
      let entry = entries[Int(receipt.position.rawValue) - 1].entry
      #expect(entry.command == receipt.command)
      #expect(entry.version == receipt.version)
    }
    let mirror = try EventLog.open(folder: learner, mode: .readOnly)
    let (whole, mirrored) = (try Verifier(log).verify(), try Verifier(mirror).verify())
    #expect(mirrored.headHash == entries[Int(mirrored.last.rawValue) - 1].hash)
    #expect(whole.last == LogPosition(UInt64(entries.count)))
  }
}
