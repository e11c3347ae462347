import ArgumentParser
import CadastreClient
import Foundation
import TestSupport
import Testing

@testable import Node

@Suite struct SettingsTests {
  /// The names of all options and flags that `serve` takes, without hyphens.
  private static func flagsOfServe() throws -> Set<String> {
    let arguments = try JSONDocument(ServeCommand._dumpHelp())["command"]["arguments"].array
    return Set(
      try arguments.flatMap { try $0["names"].array }
        .filter { try $0["kind"].string == "long" }.map { try $0["name"].string })
  }

  @Test func theTableHasEveryFlagOfServe() throws {
    // A flag that is turned off by --no-… has two names; the file's own is not in the file.
    let flags = try Self.flagsOfServe()
      .subtracting(["help", "version", ServeSettings.fileFlag])
      .filter { !$0.hasPrefix("no-") }
    let table = ServeSettings.all.map(\.name)
    #expect(Set(table) == flags)
    #expect(Set(table).count == table.count)
    for setting in ServeSettings.all where setting.place == .anywhere {
      // What a file turns on a flag can turn off.
      if case .flag = setting.shape {
        #expect(try Self.flagsOfServe().contains("no-\(setting.name)"), "\(setting.name)")
      }
    }
  }

  @Test func everyExampleIsAValueAndServeTakesIt() throws {
    try withFile(
      "{"
        + ServeSettings.all.filter { $0.place == .anywhere }
        .map { "\"\($0.name)\": \($0.example)," }.joined() + "}"
    ) { file in
      let settings = EffectiveSettings(ServeSettings.all, file: try SettingsFile(path: file))
      #expect(settings.problems.map(\.problem.message) == [])
      let command = try ServeCommand.parse(settings.added)
      #expect(command.follow?.port == 4711)
      #expect(command.relay.count == 2)
      #expect(command.wan && command.allowInsecureBind)
      #expect(command.history == 1024)
      #expect(settings.added.count == ServeSettings.all.count { $0.place == .anywhere })
    }
  }

  @Test func theExampleIsWhatItSays() throws {
    let url = URL(filePath: #filePath).deletingLastPathComponent()
      .appending(path: "../../examples/cadastre.json5")
    #expect(try String(contentsOf: url, encoding: .utf8) == ServeSettings.example)
    let settings = EffectiveSettings(
      ServeSettings.all, file: try SettingsFile(path: url.path(percentEncoded: false)))
    #expect(settings.problems.isEmpty)
    #expect(settings.added.count == 3)
  }

  /// A flag, a variable, a line of the file and the default: every set of them that can be said.
  @Test(arguments: 0..<8) func theFirstThatSaysSomethingCounts(_ said: Int) throws {
    let (flag, variable, line) = (said & 1 > 0, said & 2 > 0, said & 4 > 0)
    try withFile(line ? "{patience: '3s', wan: true}" : "{}") { file in
      let settings = try EffectiveSettings(
        ServeSettings.all,
        arguments: ["--config", file, "--log", "f"] + (flag ? ["--patience=1s", "--no-wan"] : []),
        environment: variable
          ? ["CADASTRE_PATIENCE": "2s", "CADASTRE_WAN": "yes", "CADASTRE_REGION": ""] : [:])
      func entry(_ name: String) throws -> EffectiveSettings.Entry {
        try #require(settings.entries.first { $0.setting.name == name })
      }
      let expected: (value: String, origin: EffectiveSettings.Origin) =
        if flag {
          ("1s", .commandLine)
        } else if variable {
          ("2s", .environment(variable: "CADASTRE_PATIENCE"))
        } else if line {
          ("3s", .file(file))
        } else {
          ("2s", .fallback)
        }
      let patience = try entry("patience")
      #expect(patience.value == expected.value)
      #expect(patience.origin == expected.origin)
      #expect(try entry("region").origin == .fallback)
      #expect(try entry("log").origin == .commandLine)
      #expect(settings.problems.isEmpty && settings.oddities.isEmpty)
      let command = try ServeCommand.parse(
        ["--log", "f"] + (flag ? ["--patience=1s", "--no-wan"] : []) + settings.added)
      #expect(
        command.patience == (try parseDuration(expected.value)) || expected.origin == .fallback)
      #expect(command.wan == (!flag && (variable || line)))
    }
  }

  @Test func whatIsWrongIsNamed() throws {
    try withFile(
      """
      {
        // A slip, a value that is none, one of the wrong kind, one that belongs to a call.
        "lissten": "127.0.0.1:1", "patience": "soon", "relay": {}, "promote": true,
        "history": 1, "zzzzzzzz": 1, "wan": "maybe",
      }
      """
    ) { file in
      let settings = EffectiveSettings(ServeSettings.all, file: try SettingsFile(path: file))
      let problems = Dictionary(
        uniqueKeysWithValues: settings.problems.map { ($0.name, $0.problem) })
      #expect(problems.count == 7)
      #expect(problems["lissten"]?.help == "did you mean listen?")
      #expect(problems["patience"]?.message.contains("\"soon\" does not do: write 500ms") == true)
      #expect(problems["relay"]?.message.contains("wrong kind") == true)
      #expect(problems["promote"]?.message.contains("command line alone") == true)
      #expect(problems["history"]?.message.contains("from 2 to 1000000") == true)
      #expect(problems["zzzzzzzz"]?.help?.contains("config example") == true)
      #expect(problems["wan"]?.message.contains("true or false") == true)
    }
  }

  @Test(arguments: ["", "[]", "{\"log\": }", "null", "{\"log\": \"a\""])
  func whatIsNoObjectIsRefused(_ text: String) throws {
    try withFile(text) { file in
      let problem = #expect(throws: Problem.self) { try SettingsFile(path: file) }
      #expect(problem?.code == "malformed-config")
      #expect(problem?.status == .usage)
    }
  }

  @Test func aSecretIsNotShown() throws {
    let secret = Setting(
      name: "key", shape: .value { _ in throw MalformedMessage("too short") }, about: "A key.",
      fallback: nil, example: "\"…\"", isSecret: true)
    let settings = try EffectiveSettings(
      [secret], arguments: [], environment: ["CADASTRE_KEY": "hunter2"])
    let entry = try #require(settings.entries.first)
    #expect(entry.value == "hunter2")
    #expect(!entry.shown.contains("hunter2") && !entry.shown.isEmpty)
    let problem = try #require(settings.problems.first?.problem)
    #expect(!problem.message.contains("hunter2"))
    #expect(problem.message.contains("CADASTRE_KEY"))
  }

  @Test func variablesThatAreNoSettingsAreNoted() throws {
    let settings = try EffectiveSettings(
      ServeSettings.all, arguments: [],
      environment: ["CADASTRE_LISTN": "x", "CADASTRE_SERVER": "a:1", "PATH": "p"])
    #expect(settings.oddities.map(\.name) == ["CADASTRE_LISTN"])
    #expect(settings.oddities.first?.problem.help == "did you mean CADASTRE_LISTEN?")
    #expect(settings.problems.isEmpty)
  }

  @Test func otherCommandsAreLeftAlone() throws {
    let environment = ["CADASTRE_CONFIG": "/nowhere", "CADASTRE_LISTEN": "nonsense"]
    #expect(
      try ServeSettings.completed(["status", "--json"], environment: environment)
        == ["status", "--json"])
    #expect(
      try ServeSettings.completed(["serve", "--help"], environment: environment)
        == ["serve", "--help"])
    let problem = #expect(throws: Problem.self) {
      try ServeSettings.completed(["serve"], environment: environment)
    }
    #expect(problem?.code == "no-config")
  }

  private func withFile(_ text: String, _ body: (String) throws -> Void) throws {
    let folder = TemporaryFolder()
    try FileManager.default.createDirectory(
      atPath: folder.path, withIntermediateDirectories: true)
    let file = folder.appending("cadastre.json5")
    try Data(text.utf8).write(to: URL(filePath: file))
    try body(file)
    withExtendedLifetime(folder) {}
  }
}

@Suite(.timeLimit(.minutes(5))) struct ConfigCommandTests {
  @Test func aFileIsCheckedShownAndServed() async throws {
    try await withTemporaryFolder { folder in
      let (file, log) = (folder.appending(path: "c.json5").path, folder.appending(path: "log").path)
      let initialised = try await cadastre("init", log)
      #expect(initialised.status == 0)
      func write(_ text: String) throws {
        try Data(text.utf8).write(to: URL(filePath: file))
      }
      try write("{\"log\": \"\(log)\", \"pacience\": \"1s\", \"history\": 0}")
      let wrong = try await cadastre("config", "check", file)
      #expect(wrong.status == ExitStatus.usage.rawValue)
      #expect(wrong.errors.contains("pacience is no setting"))
      #expect(wrong.errors.contains("did you mean patience?"))
      #expect(wrong.errors.contains("history"))
      let refused = try await cadastre("serve", "--config", file)
      #expect(refused.status == ExitStatus.usage.rawValue)

      try write("{\"log\": \"\(log)\", \"metrics\": \"0.0.0.0:0\"}")
      let open = try await cadastre("config", "check", file, "--json")
      #expect(open.status == ExitStatus.usage.rawValue)
      #expect(try open.error["message"].string.contains("--allow-insecure-bind"))

      // What is for a cluster, without one.
      try write("{\"log\": \"\(log)\", \"folder\": \"\(log)\"}")
      for command in [["config", "check", file], ["serve", "--config", file]] {
        let ended = try await CadastreProcess(command).wait()
        #expect(ended.status == ExitStatus.usage.rawValue)
        #expect(ended.errors.contains("--folder is for a cluster: give it with --log etcd://"))
      }

      try write("{\"log\": \"\(log)\", \"metrics\": \"127.0.0.1:0\", \"region\": \"file\"}")
      let right = try await cadastre("config", "check", file)
      #expect(right.status == 0)
      let environment = ["CADASTRE_CONFIG": file, "CADASTRE_PATIENCE": "7s"]
      let shown = try await cadastre(
        "config", "show", "--json", "--region", "flag", environment: environment)
      var origins: [String: [String?]] = [:]
      for setting in try shown.json["settings"].array {
        origins[try setting["name"].string] = [
          try setting["value"].optionalString, try setting["from"].string,
        ]
      }
      #expect(origins["region"] == ["flag", "--region"])
      #expect(origins["patience"] == ["7s", "CADASTRE_PATIENCE"])
      #expect(origins["log"] == [log, file])
      #expect(origins["history"] == ["1024", "default"])
      #expect(origins["follow"] == [nil, "default"])
      let unknown = try await cadastre("config", "show", "--nonsense", environment: environment)
      #expect(unknown.status == ExitStatus.usage.rawValue)

      let node = try CadastreProcess(
        ["serve", "--json", "--region", "flag"], environment: environment)
      try await until { node.outputSoFar.contains("\n") || !node.isRunning }
      let ended = try await node.stop()
      let announced = try #require(try ended.jsonLines.first)
      #expect(try announced["region"].string == "flag")
      #expect(try announced["metrics"].string.hasPrefix("http://127.0.0.1:"))
    }
  }
}
