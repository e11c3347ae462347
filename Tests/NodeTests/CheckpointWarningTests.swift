import Foundation
import Testing

/// A lost checkpoint costs time, and nothing else; the node says so.
@Suite(.timeLimit(.minutes(5))) struct CheckpointWarningTests {
  @Test func ruinedCheckpointsAreNamedInTheStatus() async throws {
    try await withTemporaryFolder { folder in
      let log = folder.appending(path: "log").path
      _ = try await cadastre("init", log)
      let (first, address) = try await serve(log, in: folder)
      for number in 0..<9 {
        _ = try await cadastre("split", "--at", "k\(number)", "--server", address)
      }
      let before = try await cadastre("status", "--server", address, "--json").json
      #expect(try before["warnings"].array.isEmpty)
      try await first.stop()

      let file = URL(filePath: log + "/checkpoints/data.mdb")
      try Data(repeating: 0x5A, count: 1 << 20).write(to: file)
      let (second, again) = try await serve(log, in: folder)
      // It goes on to take commands.
      #expect(try await cadastre("split", "--at", "m", "--server", again).status == 0)
      let after = try await cadastre("status", "--server", again, "--json").json
      #expect(try !after["warnings"].array.isEmpty)
      #expect(try after["condition"].isNull)
      #expect(try after["version"].number == before["version"].number + 1)
      try await second.stop()
    }
  }

  private func serve(
    _ log: String, in folder: URL
  ) async throws -> (process: CadastreProcess, address: String) {
    let file = folder.appending(path: "address")
    try? FileManager.default.removeItem(at: file)
    let process = try CadastreProcess([
      "serve", "--log", log, "--address-file", file.path, "--checkpoint-versions", "3",
      "--log-level", "error",
    ])
    while !FileManager.default.fileExists(atPath: file.path), process.isRunning {
      try await Task.sleep(for: .milliseconds(20))
    }
    return (process, try String(String(contentsOf: file, encoding: .utf8).dropLast()))
  }
}
