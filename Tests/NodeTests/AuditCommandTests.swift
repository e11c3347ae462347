import ArgumentParser
import CadastreClient
import Catalog
import Foundation
import Replay
import StateMachines
import TestSupport
import Testing

@testable import Node

/// The `audit` commands as a person or a script meets them, on folders and servers.
@Suite(.timeLimit(.minutes(5))) struct AuditCommandTests {
  static let commands = ["at", "diff", "history", "blame", "log"]

  @Test(arguments: commands) func everyCommandHasHelpThatTeaches(command: String) async throws {
    let help = try await cadastre("audit", command, "--help")
    #expect(help.status == 0)
    #expect(help.output.contains("Examples:"))
    #expect(help.output.contains("cadastre audit \(command) "))
    #expect(try await cadastre("audit", "--help").output.contains("  \(command) "))
  }

  @Test(arguments: [
    ["at", "a", "--as-of", "soon"], ["at", "a", "--as-of", "2026-02-30"],
    ["at", "a", "--group", "1"], ["at", "--limit", "0"], ["at", "--span", "b", "a"],
    ["diff"], ["diff", "-3", "4"], ["history"], ["history", "a", "--route", "1"],
    ["history", "--own", "a"], ["history", "--group", "0"], ["blame", "b", "a"],
    ["blame", "a", "b", "c"], ["log", "--kind", "nap"], ["log", "--from", "3", "--to", "2"],
    ["log", "--since", "2026-08-02", "--until", "2026-08-01"],
    ["log", "--follow", "--newest-first"], ["log", "--limit", "0"],
  ])
  func malformedArgumentsEndWithTwo(arguments: [String]) async throws {
    let ended = try await CadastreProcess(["audit"] + arguments + ["--log", "x", "--json"]).wait()
    #expect(ended.status == 2)
    #expect(try ended.error["code"].string == "usage")
  }

  /// A leader with a few versions of known content.
  private func withStory(_ body: (TestNode) async throws -> Void) async throws {
    try await withLeader { node in
      for change in [
        bootstrap("g", "p"), split("c"), .move([RouteID(2)], to: GroupID(9)),
        .setState([RouteID(3)], to: .writeFenced),
        .setAllowedRegions([RouteID(1), RouteID(4)], to: [try Region("eu-west")]),
        .merge([MergeRequest(left: RouteID(1), right: RouteID(4))]),
      ] {
        let receipt = try await node.client.submit(.test(change))
        #expect(receipt.outcome == .appended)
      }
      try await body(node)
    }
  }

  @Test(arguments: [
    ["at", "a", "h", "z", "--as-of", "3"], ["at", "--as-of", "4"], ["at", "--group", "9"],
    ["at", "--span", "b", "d", "--as-of", "2"], ["at", "--id", "1", "--id", "3"],
    ["at", "--as-of", "2", "--limit", "2"], ["at", "--as-of", "0"], ["at", "--id", "4"],
    ["at", "a", "--as-of", "1999-12-31"], ["at", "a", "--as-of", "77"],
    ["diff", "1"], ["diff", "5", "2"], ["diff", "1", "6", "--summary"],
    ["diff", "1", "--limit", "1"], ["diff", "3", "3"],
    ["history", "d"], ["history", "--route", "1"], ["history", "--route", "1", "--own"],
    ["history", "--route", "4"], ["history", "--group", "9"], ["history", "--span", "a", "h"],
    ["history", "d", "--limit", "2", "--as-of", "5"], ["history", "--route", "77"],
    ["blame"], ["blame", "d", "h", "--as-of", "5"], ["blame", "--limit", "1"],
    ["log"], ["log", "--kind", "move", "--kind", "merge", "--events"], ["log", "--newest-first"],
    ["log", "--span", "p", "--as-of", "5"], ["log", "--limit", "2", "--from-version", "3"],
    ["log", "--actor", "nobody"], ["log", "--until", "1999-12-31"],
  ])
  func foldersAndServersSayTheSame(arguments: [String]) async throws {
    try await withStory { node in
      for format in [[], ["--json"]] {
        let arguments = ["audit"] + arguments + format
        let folder = try await CadastreProcess(arguments + ["--log", node.folder]).wait()
        let server = try await CadastreProcess(arguments + ["--server", "\(node.address)"]).wait()
        #expect(folder.status == server.status)
        #expect(folder.output == server.output)
        #expect(folder.errors == server.errors)
        #expect([0, 5].contains(folder.status), "\(folder.errors)")
      }
    }
  }

  @Test func whatIsSaidIsTrue() async throws {
    try await withStory { node in
      func json(_ arguments: String...) async throws -> JSONDocument {
        try await CadastreProcess(
          ["audit"] + arguments + ["--json", "--log", node.folder]
        ).wait().json
      }
      let at = try await json("at", "d", "--as-of", "2")
      #expect(try at["version"].number == 2)
      #expect(try at["keys"].array[0]["route"]["id"].number == 4)
      let time = try at["time_ms"].number
      let then = try await json(
        "at", "d", "--as-of", HybridTimestamp(milliseconds: time).text)
      #expect(try then["time_ms"].number == time)
      let page = try await json("at", "--as-of", "2", "--limit", "3")
      #expect(try page["routes"].array.count == 3)
      #expect(try page["more"].bool)

      let diff = try await json("diff", "2", "6")
      #expect(try diff["removed"].number == 1)
      #expect(try diff["changed"].number == 3)
      let groups = try diff["groups"].array
      #expect(try groups.map { try $0["group"].number } == [1, 2, 3, 9])
      #expect(try groups[3]["joined"].number == 1)

      let changes = try await json("history", "d")["changes"].array
      #expect(try changes.map { try $0["version"].number } == [6, 5, 2, 1])
      #expect(try changes[0]["before"]["id"].number == 4)
      #expect(try changes[0]["after"]["id"].number == 1)
      #expect(try changes[0]["actor"].string == "test")
      #expect(try changes[0]["reason"].string == "a test")
      #expect(try changes[3]["before"].isNull)

      let blamed = try await json("blame", "h")["routes"].array
      #expect(try blamed.map { try $0["entry"]["version"].number } == [3, 4])

      let text = try await cadastre("audit", "history", "--route", "4", "--log", node.folder)
      #expect(text.output.contains("route 4 went into route 1"))
      #expect(text.output.contains("route 4 came from route 1"))
    }
  }

  @Test func aVersionThatIsNotKeptIsSaidWithWhatIs() async throws {
    try await withTemporaryFolder { folder in
      let path = folder.appending(path: "log").path
      let log = try EventLog.create(folder: path, catalog: testCatalog)
      var state = CatalogState(catalog: testCatalog)
      for change in [bootstrap("g"), split("c"), split("d")] {
        _ = try state.propose(.test(change), time: state.lastTime.following(wallMilliseconds: 1000))
      }
      try log.install(base: state)
      guard
        case .append(let entry) = try state.propose(.test(split("e")), time: state.lastTime.next)
      else { return }
      try log.append([entry])
      log.releaseForWriting()
      for asOf in ["2", "1970-01-01"] {
        let ended = try await cadastre(
          "audit", "at", "a", "--as-of", asOf, "--log", path, "--json")
        #expect(ended.status == 5)
        #expect(try ended.error["code"].string == "version-not-retained")
        #expect(try ended.error["details"]["oldest_version"].number == 3)
        #expect(try ended.error["details"]["version"].number == 4)
        #expect(try ended.error["help"].string.contains("3"))
      }
      let history = try await cadastre("audit", "history", "c", "--log", path, "--json").json
      #expect(try history["cut"].bool)
      let blame = try await cadastre("audit", "blame", "a", "b", "--log", path, "--json").json
      #expect(try blame["routes"].array[0]["entry"].isNull)
    }
  }

  @Test func twoLogsAreCompared() async throws {
    try await withStory { node in
      try await withTemporaryFolder { folder in
        let mirror = folder.appending(path: "mirror").path
        // A mirror takes no commands; a copy does, and so becomes another history.
        let copy = folder.appending(path: "copy").path
        try FileManager.default.copyItem(atPath: node.folder, toPath: copy)
        let made = try await cadastre("replay", "--from", node.folder, "--into", mirror)
        #expect(made.status == 0, "\(made.errors)")
        func compare(_ arguments: String...) async throws -> JSONDocument {
          let ended = try await CadastreProcess(["audit", "diff"] + arguments + ["--json"]).wait()
          #expect(ended.status == 0, "\(ended.errors)")
          return try ended.json
        }
        let same = try await compare("--with", mirror, "--server", "\(node.address)")
        #expect(try !same["diverged"].bool)
        #expect(try same["common"]["position"].number == 6)
        #expect(try same["routes"].array.isEmpty)

        try await node.client.submit(.test(split("here")))
        let behind = try await compare("--with", "\(node.address)", "--log", mirror)
        #expect(try !behind["diverged"].bool)
        #expect(try behind["next_there"]["position"].number == 7)
        #expect(try behind["routes"].array.map { try $0["change"].string } == ["changed", "added"])

        let other = try await cadastre("split", "--at", "jay", "--log", copy)
        #expect(other.status == 0, "\(other.errors)")
        let forked = try await compare("--with", copy, "--log", node.folder)
        #expect(try forked["diverged"].bool)
        #expect(try forked["common"]["position"].number == 6)
        #expect(
          try forked["common"]["hash"].string
            == forked["next_here"]["previous"].string)
        #expect(try forked["next_there"]["position"].number == 7)
        let routes = try forked["routes"].array
        #expect(try routes.allSatisfy { try $0["change"].string == "changed" })
        #expect(try routes.map { try $0["before"]["end"].string } == ["here", "p"])
        #expect(try routes.map { try $0["after"]["end"].string } == ["jay", "p"])
        let before = try await compare("4", "--with", copy, "--log", node.folder)
        #expect(try before["routes"].array.isEmpty)
        let text = try await cadastre("audit", "diff", "--with", copy, "--log", node.folder)
        #expect(text.output.contains("the same through entry 6"))
        #expect(text.output.contains("there: entry 7"))
      }
      try await withTemporaryFolder { folder in
        let path = folder.appending(path: "other").path
        _ = try await cadastre("init", path)
        let ended = try await cadastre(
          "audit", "diff", "--with", path, "--log", node.folder, "--json")
        #expect(ended.status == 4)
        #expect(try ended.error["code"].string == "wrong-catalog")
      }
    }
  }

  @Test func theLogIsFollowed() async throws {
    try await withStory { node in
      for place in [["--log", node.folder], ["--server", "\(node.address)"]] {
        let version = node.core.store.current.version.rawValue
        let following = try CadastreProcess(
          ["audit", "log", "--follow", "--json", "--from", "\(version)"] + place)
        try await until { following.outputSoFar.contains("\"position\":\(version),") }
        try await node.client.submit(.test(split("b\(version)")))
        try await until { following.outputSoFar.contains("\"position\":\(version + 1),") }
        let ended = try await following.stop()
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(try ended.jsonLines.count == 2)
      }
    }
  }

  @Test(
    arguments: [
      ("1970-01-01", 0), ("1970-01-02T00:00:00Z", 86_400_000), ("1970-01-01T00:00:01.5Z", 1500),
      ("1970-01-01 01:00:00.0019+01:00", 1), ("2026-08-01 12:00:00.123", 1_785_585_600_123),
      ("2026-08-01t12:00z", 1_785_585_600_000), ("2000-02-29", 951_782_400_000),
      ("2024-12-31T23:59:60-00:30", 1_735_691_399_000), ("9999-12-31", 253_402_214_400_000),
    ] as [(String, UInt64)])
  func timesAreRead(text: String, milliseconds: UInt64) throws {
    #expect(try parseMilliseconds(text) == milliseconds)
    #expect(
      try parseAsOf(text) == .time(HybridTimestamp(milliseconds: milliseconds, counter: .max)))
  }

  @Test(arguments: [
    "", "x", "2026-", "2026-8-1", "2026-13-01", "2026-00-01", "2026-01-00", "2026-02-29",
    "1900-02-29", "2026-01-01T", "2026-01-01T1:00:00Z", "2026-01-01T24:00:00Z",
    "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "2026-01-01T00:00:00.Z",
    "2026-01-01T00:00:00+1", "2026-01-01T00:00:00Zx", "1969-12-31T23:59:59Z", "-1",
  ])
  func whatIsNoTimeIsRefused(text: String) {
    #expect(throws: ValidationError.self) { try parseAsOf(text) }
  }
}
