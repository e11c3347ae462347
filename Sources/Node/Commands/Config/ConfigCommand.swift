import ArgumentParser
import CadastreClient
import CadastreProtocol
import Foundation

/// Looks at what `serve` would be told.
struct ConfigCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "config",
    abstract: "Check a file of settings, show what counts for a node, or write an example.",
    discussion: """
      Whatever `cadastre serve` can be told by a flag can stand in a file that --config names, or \
      in a variable of the environment: --keep-log 30d is "keep-log": "30d" in the file and \
      CADASTRE_KEEP_LOG=30d in the environment. A flag wins over a variable, that over the file, \
      the file over the default; --no-wan turns off what the file turns on. The file is JSON, with \
      comments and trailing commas (JSON5).

      Examples:
        cadastre config example > cadastre.json5
        cadastre config check cadastre.json5
        cadastre config show --config cadastre.json5 --listen 127.0.0.1:4711
        cadastre serve --config cadastre.json5
      """,
    subcommands: [
      ConfigCheckCommand.self, ConfigShowCommand.self, ConfigExampleCommand.self,
    ])
}

struct ConfigCheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Say what is wrong with a file of settings.",
    discussion: """
      Names every key that is no setting, with the one that may be meant, every value that does \
      not do, and what does not go together. Ends with status 2 when there is anything.
      """)

  @Argument(help: "The file.", transform: parsePath)
  var file: String

  @OptionGroup var output: OutputOptions

  func run() throws {
    let file = try SettingsFile(path: file)
    let settings = EffectiveSettings(ServeSettings.all, file: file)
    var problems = settings.problems.map(\.problem)
    // What does not go together is seen when each by itself is right.
    if problems.isEmpty, let problem = Self.contradiction(in: settings) { problems = [problem] }
    guard let first = problems.first else {
      return output.write(
        ["file": .string(file.path), "settings": JSON(file.values.count), "problems": []],
        else: "\(file.path): \(grouped(file.values.count)) settings, nothing wrong\n")
    }
    for problem in problems.dropFirst() where !output.json {
      StandardStream.error.write(problem.text(style: StandardStream.error.style))
    }
    throw Problem(
      .usage, code: first.code, first.message, help: first.help,
      details: [("problems", .array(problems.map { .string($0.message) }))])
  }

  private static func contradiction(in settings: EffectiveSettings) -> Problem? {
    var arguments = settings.added
    // Which folder it is may be said elsewhere.
    if !arguments.contains(where: { $0.hasPrefix("--log=") }) { arguments.append("--log=.") }
    do {
      try ServeCommand.parse(arguments).nodeConfiguration().check()
      return nil
    } catch let error as NodeError {
      return Problem(.usage, code: "bad-settings", error.message, help: error.detail?.remedy)
    } catch {
      return Problem(usage: ServeCommand.fullMessage(for: error))
    }
  }
}

struct ConfigShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Show what would count for `serve` with these flags, and where it comes from.",
    discussion: """
      Takes the flags of `cadastre serve`, and the environment. Secrets are not shown.

      Example:
        cadastre config show --config cadastre.json5 --wan
      """)

  @Argument(
    parsing: .allUnrecognized,
    help: ArgumentHelp("Flags of `cadastre serve`.", valueName: "flags"))
  var flags: [String] = []

  @OptionGroup var output: OutputOptions

  func run() throws {
    let environment = ProcessInfo.processInfo.environment
    let settings = try EffectiveSettings(
      ServeSettings.all, arguments: flags, environment: environment)
    for oddity in settings.oddities {
      output.note("note: \(oddity.problem.message)" + (oddity.problem.help.map { ": \($0)" } ?? ""))
    }
    if let problem = settings.problems.first { throw problem.problem }
    // What the parser does not take is no flag of `serve`, whatever it would count for.
    var arguments = flags + settings.added
    if !settings.entries.contains(where: { $0.setting.name == "log" && $0.value != nil }) {
      arguments.append("--log=.")
    }
    do {
      _ = try ServeCommand.parse(arguments)
    } catch {
      throw Problem(usage: ServeCommand.fullMessage(for: error))
    }
    output.write(
      ["settings": .array(settings.entries.filter(Self.isListed).map(Self.json))],
      else: Self.table(settings.entries.filter(Self.isListed)))
  }

  /// What belongs to one call alone is no setting of the node.
  private static func isListed(_ entry: EffectiveSettings.Entry) -> Bool {
    entry.setting.place == .anywhere
  }

  private static func json(_ entry: EffectiveSettings.Entry) -> JSON {
    [
      "name": .string(entry.setting.name), "value": JSON(entry.value == nil ? nil : entry.shown),
      "from": .string(origin(entry)), "secret": .bool(entry.setting.isSecret),
    ]
  }

  private static func table(_ entries: [EffectiveSettings.Entry]) -> String {
    var table = TextTable(.left("SETTING"), .left("VALUE"), .left("FROM"))
    for entry in entries {
      table.add(entry.setting.name, entry.value == nil ? "-" : entry.shown, origin(entry))
    }
    return table.text(style: StandardStream.output.style)
  }

  private static func origin(_ entry: EffectiveSettings.Entry) -> String {
    switch entry.origin {
    case .commandLine: "--\(entry.setting.name)"
    case .environment(let variable): variable
    case .file(let path): path
    case .fallback: "default"
    }
  }
}

struct ConfigExampleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "example",
    abstract: "Write a file with every setting, explained.")

  func run() throws {
    StandardStream.output.write(ServeSettings.example)
    StandardStream.output.flush()
  }
}
