import Foundation
import TestSupport
import Testing

/// What clients see of a node that are not ours; they are in `Tests/ForeignClients`.
@Suite(.timeLimit(.minutes(5))) struct ForeignClientTests {
  @Test func pythonsClientIsServed() async throws {
    let root = repositoryFolder
    let python = root.appending(path: ".build/python/bin/python3")
    try #require(
      FileManager.default.isExecutableFile(atPath: python.path),
      "\(python.path) is missing: `make python` makes it")
    let ended = try await ChildProcess(
      python, [root.appending(path: "Tests/ForeignClients/test_grpcio.py").path],
      environment: ProcessInfo.processInfo.environment
        .merging(["CADASTRE_BINARY": CadastreProcess.program.path]) { $1 }
    ).wait(limit: .seconds(240))
    #expect(ended.status == 0, "\(ended.output)\(ended.errors)")
  }

  /// Go's client measures the connection with a PING for nearly each answer, which must not end it.
  @Test func gosClientKeepsItsConnection() async throws {
    let program = repositoryFolder.appending(path: ".build/go/client")
    try #require(
      FileManager.default.isExecutableFile(atPath: program.path),
      "\(program.path) is missing: `make go` makes it")
    try await withTemporaryFolder { folder in
      let node = ServedNode("node", in: folder, [])
      let made = try await cadastre("init", node.folder)
      #expect(made.status == 0, "\(made.errors)")
      try await node.start()
      let ended = try await ChildProcess(program, ["\(node.address)", "2000"])
        .wait(limit: .seconds(240))
      try #require(ended.status == 0, "\(ended.output)\(ended.errors)")
      let report = try JSONDocument(ended.output)
      #expect(try report["calls"].number == 2000)
      #expect(try report["connections"].number == 1)
      // More than HTTP/2 here takes of a peer in half a minute, or the test shows nothing.
      #expect(try report["pings"].number > 400)
      let watched = try report["watched"].array.map { try $0.number }
      #expect(try watched == report["made"].array.map { try $0.number })
      #expect(watched.count == 100)
      try await node.stop()
    }
  }
}
