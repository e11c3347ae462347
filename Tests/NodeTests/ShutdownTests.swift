import CadastreClient
import Catalog
import EtcdSupport
import Foundation
import GRPCCore
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// How nodes end: with callers that are gone, and with work under way.
@Suite(.oneEtcd, .timeLimit(.minutes(5))) struct ShutdownTests {
  @Test func aCallerThatVanishedDoesNotKeepANodeFromEnding() async throws {
    let folder = TemporaryFolder()
    let node = try await TestNode.leader(folder) { $0.gracePeriod = .milliseconds(100) }
    try await node.client.submit(.test(oneRoute))
    let proxy = try NetworkProxy(to: node.address)
    defer { proxy.stop() }
    let client = try NodeClient(proxy.address)
    let connecting = Task { try await client.run() }
    defer { connecting.cancel() }
    let (started, start) = AsyncStream.makeStream(of: Void.self)
    let watching = Task {
      try await client.watch(from: CatalogVersion(1)) { _ in start.yield() }
    }
    defer { watching.cancel() }
    _ = await started.first { true }
    proxy.swallow()
    // The transport's own search for callers that are gone takes longer than this.
    try await within(.seconds(20)) {
      try await node.stop()
    } orThrow: {
      NodeError(.deadlineExceeded, "the node waits for a caller that is gone")
    }
  }

  /// Whatever was acknowledged is in the log once, and nothing else is but what got no answer.
  @Test(arguments: LogKind.allCases)
  func commandsUnderWayAreDoneOrRefused(log: LogKind) async throws {
    let folder = TemporaryFolder()
    let node = try await TestNode.leader(folder, on: log)
    try await node.client.submit(.test(oneRoute))
    let client = try NodeClient(node.address)
    let connecting = Task { try await client.run() }
    defer { connecting.cancel() }
    let acknowledged = Shared<Set<CommandID>>([])
    let (enough, isEnough) = AsyncStream.makeStream(of: Void.self)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for worker in 0..<8 {
        group.addTask {
          for number in 0..<100_000 {
            let command = Command.test(split("\(worker)/\(number)"))
            do {
              try await client.submit(command)
            } catch {
              let error = NodeError(any: error)
              #expect(error.code == .unavailable || error.code == .cancelled, "\(error)")
              return
            }
            let count = acknowledged.change { acknowledged in
              acknowledged.insert(command.id)
              return acknowledged.count
            }
            if count == 100 { isEnough.finish() }
          }
        }
      }
      for await _ in enough {}
      try await node.stop()
      try await group.waitForAll()
    }
    let written = try EventLog.open(folder: node.folder, mode: .readOnly)
    let commands = try written.entries(from: LogPosition(1), maxCount: .max).map(\.entry.command)
    #expect(Set(commands).count == commands.count)
    #expect(acknowledged.value.isSubset(of: commands))
    #expect(try Verifier(written).verify().entryCount == UInt64(commands.count))
  }
}
