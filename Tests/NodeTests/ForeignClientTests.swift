import Foundation
import Testing

/// What Python's grpcio sees of a node; the cases are in `Tests/ForeignClients`.
@Suite(.timeLimit(.minutes(5))) struct ForeignClientTests {
  @Test func pythonsClientIsServed() async throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let python = root.appending(path: ".build/python/bin/python3")
    try #require(
      FileManager.default.isExecutableFile(atPath: python.path),
      "\(python.path) is missing: `make python` makes it")
    try await withTemporaryFolder { folder in
      let output = folder.appending(path: "output")
      try Data().write(to: output)
      let process = Process()
      process.executableURL = python
      process.arguments = [root.appending(path: "Tests/ForeignClients/test_grpcio.py").path]
      process.environment = ProcessInfo.processInfo.environment
        .merging(["CADASTRE_BINARY": CadastreProcess.program.path]) { $1 }
      let handle = try FileHandle(forWritingTo: output)
      (process.standardOutput, process.standardError) = (handle, handle)
      let (ended, end) = AsyncStream.makeStream(of: Int32.self)
      process.terminationHandler = { end.yield($0.terminationStatus) }
      try process.run()
      let status = await ended.first { _ in true }
      #expect(status == 0, "\((try? String(contentsOf: output, encoding: .utf8)) ?? "")")
    }
  }
}
