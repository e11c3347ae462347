import CadastreClient
import CadastreProtocol
import EtcdSupport
import GRPCCore
import SwiftProtobuf
import Testing

@testable import Node

@Suite(.oneEtcd, .timeLimit(.minutes(5))) struct HealthTests {
  private typealias Status = Grpc_Health_V1_HealthCheckResponse.ServingStatus
  private static let commands = "cadastre.v1.CatalogCommands"

  private func check(_ service: String, _ node: TestNode) async throws -> Status {
    try await node.client.health.check(.with { $0.service = service }).status
  }

  @Test(arguments: LogKind.allCases) func aLeaderServes(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      for service in ["", "cadastre.v1.CatalogReads", Self.commands, "cadastre.v1.Replication"] {
        let status = try await check(service, node)
        #expect(status == .serving)
      }
      let unknown = await refusal { try await check("cadastre.v1.Nothing", node) }
      #expect(unknown?.code == .notFound)
      #expect(unknown?.detail?.remedy.contains("cadastre.v1.CatalogReads") == true)
    }
  }

  @Test(arguments: LogKind.allCases)
  func aLearnerWithoutItsLeaderTakesNoCommands(log: LogKind) async throws {
    let folder = TemporaryFolder()
    let leader = try await TestNode.leader(folder, on: log)
    try await leader.client.submit(.test(oneRoute))
    let learner = try await TestNode(
      .learner(of: leader.address), folder: folder.appending("learner"))
    try await withNode(learner) { learner in
      try await until { try await check(Self.commands, learner) == .serving }
      try await leader.stop()
      try await until { try await check(Self.commands, learner) == .notServing }
      let reads = try await check("", learner)
      #expect(reads == .serving)
    }
    withExtendedLifetime(folder) {}
  }

  @Test(arguments: LogKind.allCases) func aWatchTellsOfTheEnd(log: LogKind) async throws {
    let folder = TemporaryFolder()
    let node = try await TestNode.leader(folder, on: log)
    let statuses = try await withThrowingTaskGroup(of: [Status].self) { group in
      let (seen, sees) = AsyncStream.makeStream(of: Void.self)
      group.addTask {
        try await node.client.health.watch(.init()) { response in
          var statuses: [Status] = []
          for try await message in response.messages {
            statuses.append(message.status)
            sees.yield()
          }
          return statuses
        }
      }
      for await _ in seen { break }
      try await node.stop()
      return try await group.next() ?? []
    }
    #expect(statuses == [.serving, .notServing])
    withExtendedLifetime(folder) {}
  }
}
