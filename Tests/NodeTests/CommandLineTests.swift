import CadastreClient
import Catalog
import EtcdSupport
import Foundation
import StateMachines
import Testing

@testable import Node

/// The commands as a person or a script meets them: real processes, exit status, output.
@Suite(.oneEtcd) struct CommandLineTests {
  static let commands = [
    "init", "import", "serve", "resolve", "routes", "split", "merge", "move", "set-state",
    "set-regions", "watch", "log", "replay", "verify", "status", "audit",
  ]

  @Test(arguments: commands) func everyCommandHasHelpThatTeaches(command: String) async throws {
    let help = try await cadastre(command, "--help")
    #expect(help.status == 0)
    #expect(help.output.contains("Example"))
    #expect(help.output.contains("cadastre \(command) "))
  }

  @Test func theTopHelpListsCommandsAndExitStatus() async throws {
    let help = try await cadastre("--help")
    #expect(help.status == 0)
    for command in Self.commands { #expect(help.output.contains("  \(command) ")) }
    for status in ExitStatus.allCases { #expect(help.output.contains(status.meaning)) }
  }

  @Test(arguments: [
    ["nosuch"], ["split"], ["split", "--at"], ["split", "--at", #"a\z"#, "--log", "x"],
    ["merge", "1", "--log", "x"], ["merge", "0", "1", "--log", "x"], ["move", "1", "--log", "x"],
    ["set-state", "1", "--to", "lost", "--log", "x"],
    ["set-regions", "1", "--to", "EU", "--log", "x"],
    ["set-regions", "1", "--log", "x"], ["status"], ["status", "--server", "nowhere"],
    ["status", "--log", "x", "--server", "localhost:1"],
    ["routes", "--limit", "0", "--log", "x"], ["routes", "--span", "b", "a", "--log", "x"],
    ["routes", "--span", "b", "--group", "1", "--log", "x"],
    ["resolve", #"\xZZ"#, "--log", "x"], ["resolve", "a", "--max-staleness", "soon", "--log", "x"],
    ["split", "--at", "m", "--command-id", "12", "--log", "x"],
    ["import", "x", "--every", "0", "--log", "x"],
    ["import", "x", "--groups", "4", "--log", "x"],
    ["import", "x", "--groups-by", "round-robin", "--log", "x"],
    ["watch", "--count", "0", "--log", "x"],
    ["watch", "--span", "a", "--group", "1", "--log", "x"],
    ["watch", "--span", "b", "a", "--log", "x"], ["watch", "--group", "0", "--log", "x"],
    ["verify", "--log", "x", "--expect-digest", "abc"],
    ["init", ""], ["status", "--log", ""], ["import", "x", "--log", ""],
    ["import", "", "--log", "x"], ["split", "--from-file", "", "--log", "x"],
    ["replay", "--from", "", "--into", "x"], ["replay", "--from", "x", "--into", ""],
    ["serve", "--log", "x", "--address-file", ""],
    ["init", "x", "--group", "0"], ["move", "1", "--to-group", "0", "--log", "x"],
    ["routes", "--group", "0", "--log", "x"],
  ])
  func malformedArgumentsEndWithTwo(arguments: [String]) async throws {
    let plain = try await CadastreProcess(arguments).wait()
    #expect(plain.status == 2)
    #expect(plain.output.isEmpty)
    #expect(plain.errors.hasPrefix("error: "))
    let json = try await CadastreProcess(arguments + ["--json"]).wait()
    #expect(json.status == 2)
    #expect(try json.error["code"].string == "usage")
    #expect(try json.error["exit_status"].number == 2)
  }

  @Test func anEndlessKeyIsRefusedInAFewLines() async throws {
    let key = String(repeating: "k", count: Key.maximumLength + 1)
    for arguments in [["resolve", key, "--log", "x"], ["split", "--at", key, "--log", "x"]] {
      let ended = try await CadastreProcess(arguments).wait()
      #expect(ended.status == 2)
      #expect(ended.errors.contains("too long"))
      #expect(ended.errors.count < 1000)
    }
  }

  @Test func foldersAndServersThatAreNotThere() async throws {
    try await withTemporaryFolder { folder in
      let missing = folder.appending(path: "missing").path
      for arguments in [
        ["status"], ["routes"], ["resolve", "a"], ["log"], ["verify"], ["split", "--at", "m"],
      ] {
        let ended = try await CadastreProcess(arguments + ["--log", missing, "--json"]).wait()
        #expect(ended.status == 5, "\(arguments): \(ended.errors)")
        #expect(try !ended.error["help"].string.isEmpty)
      }
      #expect(!FileManager.default.fileExists(atPath: missing))
      // Port 1 answers nowhere.
      let ended = try await cadastre("status", "--server", "127.0.0.1:1", "--json")
      #expect(ended.status == 6)
      #expect(try ended.error["code"].string == "unavailable")
    }
  }

  @Test func theFirstWalk() async throws {
    try await withTemporaryFolder { folder in
      let log = folder.appending(path: "catalog").path
      let environment = ["CADASTRE_LOG": log, "USER": "ada"]
      let made = try await cadastre("init", log, "--group", "7", "--json").json
      #expect(try made["version"].number == 1)
      #expect(try made["routes"].number == 1)
      let again = try await cadastre("init", log, "--json")
      #expect(again.status == 4)
      #expect(try again.error["code"].string == "log-exists")

      let split = try await cadastre(
        "split", "--at", "m", #"z\xff"#, "--reason", "too hot", "--json",
        environment: environment
      ).json
      #expect(try split["outcome"].string == "appended")
      #expect(try split["version"].number == 2)
      #expect(try split["new_routes"].array.map { try $0.number } == [2, 3])
      let done = try await cadastre("split", "--at", "m", "--json", environment: environment)
      #expect(done.status == 0)
      #expect(try done.json["outcome"].string == "already-done")

      let resolved = try await cadastre("resolve", "apple", "n", "--json", environment: environment)
        .json
      let routes = try resolved["keys"].array.map { try $0["route"]["id"].number }
      #expect(routes == [1, 2])
      let piped = try await cadastre(
        "resolve", "-", "--json", input: "zz\na\n", environment: environment
      ).json
      #expect(try piped["keys"].array.map { try $0["key"].string } == ["zz", "a"])

      let listed = try await cadastre("routes", "--json", environment: environment).json
      #expect(try listed["more"].bool == false)
      let last = try #require(try listed["routes"].array.last)
      #expect(try last["start"].string == #"z\xff"#)
      #expect(try last["start_hex"].string == "7aff")
      #expect(try last["end"].isNull)
      #expect(try last["parent"].number == 2)
      let some = try await cadastre("routes", "--limit", "2", "--json", environment: environment)
        .json
      #expect(try some["routes"].array.count == 2 && some["more"].bool)
      let table = try await cadastre("routes", environment: environment).output
      #expect(table.hasPrefix("ROUTE  GROUP  STATE"))
      #expect(!table.contains("\u{1B}"))
      let named = try await cadastre(
        "routes", "--id", "3", "--id", "1", "--limit", "1", "--json", environment: environment
      ).json
      #expect(try named["routes"].array.map { try $0["id"].number } == [3, 1])
      #expect(try !named["more"].bool)
      #expect(try await cadastre("routes", "--id", "9", environment: environment).status == 5)

      let stale = try await cadastre(
        "split", "--at", "p", "--expected-version", "1", "--json", environment: environment)
      #expect(stale.status == 4)
      #expect(try stale.error["code"].string == "stale-version")
      #expect(try stale.error["details"]["version"].number == 2)
      let apart = try await cadastre("merge", "1", "3", "--json", environment: environment)
      #expect(apart.status == 4)
      #expect(try apart.error["code"].string == "not-neighbours")
      #expect(try await cadastre("merge", "1", "77", environment: environment).status == 5)

      let id = String(repeating: "ab", count: 16)
      for outcome in ["appended", "repeated"] {
        let merge = try await cadastre(
          "merge", "2", "3", "--command-id", id, "--json", environment: environment
        ).json
        #expect(try merge["outcome"].string == outcome)
        #expect(try merge["version"].number == 3)
      }
      let reused = try await cadastre(
        "move", "1", "--to-group", "9", "--command-id", id, "--json", environment: environment)
      #expect(reused.status == 4)
      for arguments in [
        ["move", "1", "--to-group", "9"], ["set-state", "1", "--to", "write-fenced"],
        ["set-regions", "1", "--to", "eu-west,ap-tokyo"], ["set-regions", "1", "--anywhere"],
      ] {
        let ended = try await CadastreProcess(arguments, environment: environment).wait()
        #expect(ended.status == 0, "\(arguments): \(ended.errors)")
      }

      let entries = try await cadastre("log", "--events", "--json", environment: environment)
        .jsonLines
      #expect(try entries.map { try $0["position"].number } == Array(1...7))
      #expect(try entries[1]["actor"].string == "ada")
      #expect(try entries[1]["reason"].string == "too hot")
      #expect(
        try entries[1]["events"].array.map { try $0["kind"].string } == [
          "route-split", "route-split",
        ])

      let status = try await cadastre("status", "--json", environment: environment).json
      #expect(try status["version"].number == 7)
      let digest = try status["digest"].string
      let verified = try await cadastre(
        "verify", "--expect-digest", digest, "--json", environment: environment
      ).json
      #expect(try verified["head_hash"].string == status["head_hash"].string)
      let other = String(repeating: "0", count: 64)
      let wrong = try await cadastre(
        "verify", "--expect-digest", other, environment: environment)
      #expect(wrong.status == 3)

      let mirror = folder.appending(path: "mirror").path
      let replayed = try await cadastre("replay", "--from", log, "--into", mirror, "--json").json
      #expect(try replayed["digest"].string == digest)
      #expect(
        try await cadastre("status", "--log", mirror, "--json").json["digest"].string == digest)
    }
  }

  @Test func aPlaceThatTakesNoFolderIsSaid() async throws {
    let made = try await cadastre("init", "/proc/catalog", "--json")
    #expect(made.status == 1, "\(made.errors)")
    #expect(try made.error["message"].string.contains("/proc/catalog"))
  }

  @Test func anEmptyCatalogSaysHowToFillItAndInitDoes() async throws {
    try await withTemporaryFolder { folder in
      let log = folder.appending(path: "log").path
      let empty = try await cadastre("init", log, "--empty", "--json").json
      let asked = try await cadastre("resolve", "a", "--log", log, "--json")
      #expect(asked.status == 5)
      #expect(try asked.error["help"].string.contains("cadastre init"))
      #expect(try await cadastre("init", log, "--empty").status == 4)
      let filled = try await cadastre("init", log, "--json").json
      #expect(try filled["catalog"].string == empty["catalog"].string)
      #expect(try filled["routes"].number == 1)
      #expect(try await cadastre("init", log).status == 4)
    }
  }

  @Test func aCommandWithoutAnAnswerNamesItsID() async throws {
    // Port 1 answers nowhere.
    let lost = try await cadastre("split", "--at", "m", "--server", "127.0.0.1:1", "--json")
    #expect(lost.status == 6)
    let id = try lost.error["details"]["command_id"].string
    #expect(id.count == 32)
    #expect(try lost.error["help"].string.contains("--command-id \(id)"))
    try await withTemporaryFolder { folder in
      let log = folder.appending(path: "log").path
      _ = try await cadastre("init", log)
      let refused = try await cadastre(
        "merge", "1", "9", "--command-id", id, "--log", log, "--json")
      #expect(try refused.error["details"]["command_id"].string == id)
      #expect(try !refused.error["help"].string.contains(id))
    }
  }

  @Test(.timeLimit(.minutes(5))) func aServerSaysWhyItDoesNotStartOrAnswer() async throws {
    try await withTemporaryFolder { folder in
      let logs = ["one", "two"].map { folder.appending(path: $0).path }
      for log in logs { _ = try await cadastre("init", log) }
      let file = folder.appending(path: "address")
      let server = try CadastreProcess([
        "serve", "--log", logs[0], "--address-file", file.path, "--patience", "100ms",
      ])
      while !FileManager.default.fileExists(atPath: file.path), server.isRunning {
        try await Task.sleep(for: .milliseconds(20))
      }
      let address = try String(String(contentsOf: file, encoding: .utf8).dropLast())

      let behind = try await cadastre(
        "resolve", "a", "--min-version", "99", "--server", address, "--json")
      #expect(behind.status == 6)
      #expect(try behind.error["message"].string.contains("version 99 was asked for"))
      #expect(try behind.error["details"]["version"].number == 1)

      func serve(_ arguments: String...) async throws -> (status: Int32, error: JSONDocument) {
        let ended = try await CadastreProcess(
          ["serve", "--log", logs[1], "--log-level", "critical", "--json"] + arguments
        ).wait()
        return (ended.status, try ended.error)
      }
      let taken = try await serve("--listen", address)
      #expect(taken.status == 6)
      #expect(try taken.error["code"].string == "address-in-use")
      let open = try await serve("--listen", "0.0.0.0:0")
      #expect(open.status == 2)
      #expect(try open.error["code"].string == "insecure-bind")
      let nowhere = try await serve("--address-file", folder.path + "/missing/address")
      #expect(nowhere.status == 1)
      #expect(try nowhere.error["message"].string.contains("No such file"))
      #expect(try await server.stop().status == 0)
    }
  }

  @Test func damageIsFoundAndNamed() async throws {
    try await withTemporaryFolder { folder in
      let log = folder.appending(path: "log").path
      _ = try await cadastre("init", log)
      let reason = "a reason that is easy to find"
      for key in ["g", "m", "t"] {
        _ = try await cadastre("split", "--at", key, "--reason", reason + key, "--log", log)
      }
      #expect(try await cadastre("verify", "--log", log).status == 0)
      let data = folder.appending(path: "log/data.mdb")
      var bytes = try Data(contentsOf: data)
      // Every place where LMDB has a copy of the second split's reason.
      var place = bytes.startIndex
      while let found = bytes[place...].range(of: Data((reason + "m").utf8)) {
        bytes[found.lowerBound] ^= 1
        place = found.upperBound
      }
      try bytes.write(to: data)
      let damaged = try await cadastre("verify", "--log", log, "--json")
      #expect(damaged.status == 3, "\(damaged.output)")
      #expect(try damaged.error["details"]["position"].number == 3)
      #expect(try !damaged.error["help"].string.isEmpty)
      let replayed = try await cadastre("replay", "--from", log, "--json")
      #expect(replayed.status == 3)
      let status = try await cadastre("status", "--log", log, "--json")
      #expect(try !status.json["head_proven"].bool)
      let refused = try await cadastre("split", "--at", "z", "--log", log)
      #expect(refused.status == 3, "\(refused.output)")
    }
  }

  /// A folder and a server tell the same, and end at a version that changed nothing of it.
  @Test(arguments: LogKind.allCases)
  func aWatchOfAGroupOrSpanPrintsNothingElse(log: LogKind) async throws {
    try await withLeader(on: log) { node in
      try await node.client.submit(.test(bootstrap("g", "p")))
      try await node.client.submit(.test(split("b")))
      try await node.client.submit(.test(split("x")))
      try await node.client.submit(.test(.move([RouteID(2)], to: GroupID(9))))
      try await node.client.submit(.test(split("y")))
      for place in [["--server", "\(node.address)"], ["--log", node.folder]] {
        func versions(_ filter: String...) async throws -> [UInt64] {
          let ended = try await CadastreProcess(
            ["watch", "--from", "1", "--until", "5", "--json"] + filter + place
          ).wait()
          #expect(ended.status == 0, "\(ended.errors)")
          let lines = try ended.jsonLines
          #expect(try lines.first?["type"].string == "started")
          return try lines.dropFirst().map { try $0["version"].number }
        }
        #expect(try await versions() == [2, 3, 4, 5])
        #expect(try await versions("--group", "2") == [4])
        #expect(try await versions("--span", "a", "c") == [2])
        #expect(try await versions("--span", "z") == [3, 5])
      }
    }
  }

  @Test(arguments: [SIGINT, SIGTERM]) func aFollowerEndsWellWhenAsked(signal: Int32) async throws {
    try await withTemporaryFolder { folder in
      let log = folder.appending(path: "log").path
      _ = try await cadastre("init", log)
      let followers = [
        try CadastreProcess(["watch", "--from", "0", "--json", "--log", log]),
        try CadastreProcess(["log", "--follow", "--json", "--log", log]),
      ]
      let expected = [2, 1]
      for (follower, lines) in zip(followers, expected) {
        while follower.outputSoFar.split(separator: "\n").count < lines, follower.isRunning {
          try await Task.sleep(for: .milliseconds(20))
        }
        follower.signal(signal)
        let ended = try await follower.wait(limit: .seconds(20))
        #expect(ended.status == 0, "\(ended.errors)")
        #expect(try ended.jsonLines.count == lines)
      }
    }
  }

  @Test func hostileKeyFiles() async throws {
    try await withTemporaryFolder { folder in
      let file = folder.appending(path: "keys").path
      func imported(_ bytes: [UInt8], as name: String) async throws -> CadastreProcess.Ended {
        try Data(bytes).write(to: URL(filePath: file))
        return try await cadastre(
          "import", file, "--every", "2", "--log", folder.appending(path: name).path, "--json")
      }
      #expect(try await imported([], as: "empty").status == 2)
      #expect(try await imported([0x0A, 0x0A], as: "blank").status == 2)
      let long = try await imported(Array(repeating: 0x61, count: 5000), as: "long")
      #expect(long.status == 2)
      #expect(try long.error["details"]["line"].number == 1)

      let mixed = try await imported(
        Array("c\tx\na\ty\nc\tz\n\u{FE}\n".utf8) + [0xFF, 0x00, 0x0A], as: "mixed")
      #expect(mixed.status == 0, "\(mixed.errors)")
      #expect(try mixed.json["keys"].number == 4)
      #expect(try mixed.json["sorted"].bool)
      #expect(try mixed.json["duplicates"].number == 1)
      #expect(try mixed.json["routes"].number == 2)
      // A catalog has its first routes once.
      let again = try await imported(Array("q\n".utf8), as: "mixed")
      #expect(again.status == 4)
      #expect(try again.error["code"].string == "already-bootstrapped")
    }
  }
}
