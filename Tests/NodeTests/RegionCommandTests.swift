import Foundation
import TestSupport
import Testing

/// A region's stream from the command line, from an empty folder to a promoted mirror.
@Suite(.timeLimit(.minutes(5))) struct RegionCommandTests {
  private let folder = TemporaryFolder()

  private func serve(_ name: String, _ more: String...) async throws -> (CadastreProcess, String) {
    let file = folder.appending("\(name).address")
    let process = try CadastreProcess(
      [
        "serve", "--log", folder.appending(name), "--address-file", file, "--log-level", "error",
        "--clock-window", "400ms", "--renew-every", "100ms", "--membership-timeout", "60s",
      ] + more)
    while true {
      if let text = try? String(contentsOfFile: file, encoding: .utf8), text.hasSuffix("\n") {
        return (process, String(text.dropLast()))
      }
      try #require(process.isRunning, "\(name) ended: \(process.errorsSoFar)")
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  @Test func aNewCatalogIssuesTimestampsAndAMirrorSavesThem() async throws {
    let made = try await cadastre(
      "init", folder.appending("us"), "--member", "us-1", "--region", "us", "--json")
    #expect(made.status == 0)
    let (leader, address) = try await serve(
      "us", "--member", "us-1", "--region", "us", "--lead-region", "us")
    let (mirror, other) = try await serve(
      "eu", "--member", "eu-1", "--region", "eu", "--follow", address,
      "--mirror-region", "us@\(address)")
    func status() async throws -> JSONDocument {
      try await cadastre("region", "status", "--server", other, "--json").json["regions"].array[0]
    }
    let homes = try await cadastre(
      "members", "home", "7", "8", "--in", "us", "--server", address)
    #expect(homes.status == 0)
    // Taken up as soon as the leader sees where they are at home.
    try await until {
      try await cadastre("timestamps", "next", "--group", "7", "--server", address).status == 0
    }
    // From whoever knows who leads it.
    try await until { try await status()["groups"].number == 2 }
    let next = try await cadastre("timestamps", "next", "--group", "7", "--server", other)
    #expect(next.status == 0, "\(next.errors)")
    let clocks = try await cadastre("region", "clocks", "7-8", "--server", other, "--json").json
    #expect(try clocks["clocks"].array[0]["leader"].string == "us-1")
    #expect(try await status()["role"].string == "mirror")
    #expect(try await status()["mirror"]["leader_address"].string == address)
    let lines = try await cadastre(
      "log", "--log", folder.appending("eu"), "--region", "us", "--json"
    ).jsonLines
    #expect(try lines.first?["position"].number == 1)
    let path = folder.appending("eu") + "/regions/us"
    #expect(try await cadastre("log", "--log", path).status == 0)
    leader.signal(SIGKILL)
    _ = try await leader.wait()
    // The catalog's leader is gone with it: nothing can be declared here, and nothing is promoted.
    let refused = try await cadastre(
      "region", "promote", "us", "--leader-stopped", "--server", other, "--json")
    #expect(refused.status != 0)
    try await mirror.stop()
  }

  @Test func optionsThatContradictEachOther() async throws {
    let ended = try await cadastre("init", folder.appending("x"), "--member", "us-1")
    #expect(ended.status == 2)
    let mirror = try await cadastre(
      "serve", "--log", folder.appending("x"), "--mirror-region", "tokyo@nowhere")
    #expect(mirror.status == 2)
  }
}
