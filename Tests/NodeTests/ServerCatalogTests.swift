import CadastreClient
import CadastreProtocol
import Catalog
import EtcdSupport
import GRPCCore
import StateMachines
import SwiftProtobuf
import TestSupport
import Testing

@testable import Node

/// What the commands ask of a server, beyond what one call does.
@Suite(.oneEtcd, .timeLimit(.minutes(5))) struct ServerCatalogTests {
  @Test(arguments: LogKind.allCases) func manyKeysGoInBatches(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(bootstrap("g", "p")))
      // Past what one call takes, once by their number and once by their bytes.
      let many = (0..<25_000).map { Key("\(["a", "h", "z"][$0 % 3])\($0)") }
      let long = (0..<1_500).map { Key("h\($0)" + String(repeating: "x", count: 4_000)) }
      for keys in [many, long] {
        let answer = try await ServerCatalog(client: node.client).resolve(keys, demand: .none)
        #expect(answer.routes.count == keys.count)
        #expect(zip(keys, answer.routes).allSatisfy { $1.span.contains($0) })
        #expect(answer.firstVersion == CatalogVersion(1))
        #expect(answer.stamp.version == CatalogVersion(1))
      }
    }
  }

  @Test func batchesTellTheirVersionsAndTheGreatestStaleness() {
    func answer(_ version: UInt64, _ staleness: Duration?) -> ResolvedKeys {
      ResolvedKeys(
        stamp: ReadStamp(
          version: CatalogVersion(version), servedAtMilliseconds: version, staleness: staleness),
        routes: [])
    }
    var answers = answer(3, .seconds(2))
    answers.append(answer(5, .seconds(1)))
    #expect(answers.firstVersion == CatalogVersion(3))
    #expect(answers.stamp.version == CatalogVersion(5))
    #expect(answers.stamp.staleness == .seconds(2))
    answers.append(answer(5, nil))
    answers.append(answer(6, .zero))
    #expect(answers.stamp.staleness == nil)
  }

  @Test func aWatchOfASilentServerEnds() async throws {
    let server = NodeServer(
      listen: NodeAddress(host: "127.0.0.1", port: 0), services: [SilentWatch()])
    let serving = Task { try await server.serve() }
    defer { serving.cancel() }
    let address = try #require(await server.address)
    let problem = await #expect(throws: Problem.self) {
      try await NodeClient.with(address) { client in
        var catalog = ServerCatalog(client: client)
        catalog.silenceLimit = .milliseconds(200)
        try await catalog.watch(after: CatalogVersion(3), .all) { update in
          if case .started(let version) = update { #expect(version == CatalogVersion(3)) }
          return true
        }
      }
    }
    #expect(problem?.status == .unavailable)
    #expect(problem?.code == "silent")
  }
}

/// Begins a watch and says nothing more.
private struct SilentWatch: Cadastre_V1_CatalogWatch.SimpleServiceProtocol {
  func watch(
    request: Wire.WatchRequest, response: RPCWriter<Wire.WatchResponse>, context: ServerContext
  ) async throws {
    try await response.write(
      .with { message in
        message.started.catalogID = .init(testCatalog.bytes)
        message.started.version = request.fromVersion
      })
    try await Task.sleep(for: .seconds(60))
  }
}
