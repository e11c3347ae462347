import ArgumentParser
import CadastreClient
import Testing

@testable import Node

/// What `serve` is told of streams that nodes share.
@Suite struct SharedStreamOptionsTests {
  private static let member = ["--member", "a", "--region", "tokyo"]
  private static let cluster = ["--log", "etcd://h:1/c", "--folder", "f"] + member
  private static let region = ["--lead-region", "tokyo", "--region-log", "etcd://h:1,i:2/tokyo"]

  @Test func fromWhomEntriesAreTaken() throws {
    #expect(try parseTailSource("etcd") == .stream)
    #expect(try parseTailSource("peer") == .leader)
    #expect(
      try parseTailSource("h:1,i:2")
        == .peers([NodeAddress(host: "h", port: 1), NodeAddress(host: "i", port: 2)]))
    for text in ["", "leader", "h", "h:1,,i:2", "h:x"] {
      #expect(throws: (any Error).self, "\(text)") { try parseTailSource(text) }
    }
    let command = try ServeCommand.parse(Self.cluster + ["--follow-from", "peer"])
    guard case .member(let options) = try command.nodeConfiguration().role else {
      Issue.record("no member")
      return
    }
    #expect(options.followFrom == .leader)
  }

  @Test func whereStreamsOfRegionsAre() throws {
    // Beside a catalog in a folder, and beside one in a cluster.
    for place in [["--log", "f"] + Self.member, Self.cluster] {
      let command = try ServeCommand.parse(place + Self.region)
      #expect(command.clocks.regionLog?.cluster == "tokyo")
      #expect(try command.nodeConfiguration().regionLog != nil)
      #expect(try ServeCommand.parse(place).nodeConfiguration().regionLog == nil)
    }
  }

  @Test(arguments: [
    ["--log", "f", "--follow-from", "peer"],
    ["--log", "f", "--lead-region", "tokyo", "--region-log", "etcd://h:1/tokyo"],
    ["--log", "f", "--region-log", "etcd://h:1/tokyo"] + member,
    ["--log", "f", "--catalog-limit", "60s"] + member + region,
    ["--log", "f", "--lead-region", "tokyo", "--region-log", "h:1/tokyo"] + member,
    ["--log", "f", "--etcd-user", "u", "--etcd-password-file", "p"] + member,
  ])
  func whatDoesNotGoTogetherIsRefused(_ arguments: [String]) {
    #expect(throws: (any Error).self) {
      _ = try ServeCommand.parse(arguments).nodeConfiguration()
    }
  }
}
