import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Logging
import NIOPosix
import Replay
import StateMachines
import SwiftProtobuf
import Testing

@testable import Node

/// Tells by the route's id whether a call is on an event loop.
private struct WhereAmI: Cadastre_V1_CatalogReads.SimpleServiceProtocol {
  func resolve(
    request: Wire.ResolveRequest, context: ServerContext
  ) async throws -> Wire.ResolveResponse {
    .with {
      $0.route.id = MultiThreadedEventLoopGroup.currentEventLoop == nil ? 0 : 1
      $0.route.state = .active
    }
  }
  func resolveBatch(
    request: Wire.ResolveBatchRequest, context: ServerContext
  ) async throws -> Wire.ResolveBatchResponse { .init() }
  func listRoutes(
    request: Wire.ListRoutesRequest, context: ServerContext
  ) async throws -> Wire.ListRoutesResponse { .init() }
  func getStatus(
    request: Wire.GetStatusRequest, context: ServerContext
  ) async throws -> Wire.GetStatusResponse { .init() }
}

@Suite(.timeLimit(.minutes(5))) struct NodeServerTests {
  @Test func callsStayOnTheEventLoops() async throws {
    let server = NodeServer(
      listen: NodeAddress(host: "127.0.0.1", port: 0), services: [WhereAmI()])
    let serving = Task { try await server.serve() }
    let address = try #require(await server.address)
    let id = try await NodeClient.with(address) {
      try await $0.resolve(Key(unchecked: [])).value.id
    }
    #expect(id == RouteID(1))
    server.beginShutdown()
    try await serving.value
  }

  /// Neither may calls on their way trap the server, nor may they keep their own client from its end.
  @Test func aCancelledServerEndsWhileCallsArrive() async throws {
    for _ in 0..<40 {
      let server = NodeServer(
        listen: NodeAddress(host: "127.0.0.1", port: 0), services: [WhereAmI()])
      let serving = Task { try await server.serve() }
      let address = try #require(await server.address)
      await withTaskGroup { group in
        for _ in 0..<4 {
          group.addTask {
            _ = try? await NodeClient.with(address) { client in
              await withTaskGroup { group in
                for _ in 0..<32 {
                  group.addTask {
                    while (try? await client.resolve(Key(unchecked: []))) != nil {}
                  }
                }
              }
            }
          }
        }
        try? await Task.sleep(for: .milliseconds(50))
        serving.cancel()
        _ = await serving.result
        group.cancelAll()
      }
    }
  }

  @Test func anAddressInUseIsSaidPlainly() async throws {
    try await withLeader { node in
      let folder = TemporaryFolder()
      try EventLog.create(folder: folder.path, catalog: testCatalog).releaseForWriting()
      let error = await refusal {
        try await TestNode(.leader, folder: folder.path, port: node.address.port)
      }
      #expect(error?.message.contains("\(node.address) is in use") == true)
    }
  }

  @Test func aFolderInUseIsRefused() async throws {
    try await withLeader { node in
      let error = await refusal { try await TestNode(.leader, folder: node.folder) }
      #expect(error?.message.contains("is being written by") == true)
    }
  }

  @Test func aStoppedLearnerDoesNotWaitForItsLeader() async throws {
    let folder = TemporaryFolder()
    var configuration = NodeConfiguration(
      // Nobody listens on port 1.
      role: .learner(of: NodeAddress(host: "127.0.0.1", port: 1)), folder: folder.path,
      listen: NodeAddress(host: "127.0.0.1", port: 0))
    configuration.following.firstPause = .seconds(3600)
    configuration.following.maximumPause = .seconds(3600)
    let service = NodeService(
      configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let serving = Task { try await service.run() }
    service.beginShutdown()
    try await serving.value
  }
}
