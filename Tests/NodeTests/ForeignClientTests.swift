import Foundation
import TestSupport
import Testing

/// What Python's grpcio sees of a node; the cases are in `Tests/ForeignClients`.
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
}
