import Configuration
import Synchronization

/// What counts for a node, of what was said on the command line, in the environment and in a file,
/// and where each of it was said.
struct EffectiveSettings: Sendable {
  enum Origin: Equatable, Sendable {
    case commandLine
    case environment(variable: String)
    case file(String)
    case fallback
  }

  struct Entry: Sendable {
    var setting: Setting
    /// Nil where nothing was said, and nothing counts then.
    var value: String?
    var origin: Origin

    /// The value for people; none of a secret.
    var shown: String { setting.isSecret && value != nil ? "********" : value ?? "" }
  }

  /// What is wrong with something that was said.
  struct Finding: Sendable {
    var problem: Problem
    /// The key, or the variable.
    var name: String
  }

  /// One for each setting.
  private(set) var entries: [Entry] = []
  /// What is wrong; a node does not start with that.
  private(set) var problems: [Finding] = []
  /// What is strange: variables that look like settings and are none.
  private(set) var oddities: [Finding] = []

  /// Reads what was said. The file is the one that the flag `--config` names, else the variable.
  ///
  /// - Throws: ``Problem`` when the file cannot be read.
  init(
    _ settings: [Setting], arguments: [String], environment: [String: String]
  ) throws(Problem) {
    let given = CommandLineSettings(arguments, settings)
    let environment = environment.filter { !$0.value.isEmpty }
    let path = given.file ?? environment[ServeSettings.fileVariable]
    var file: SettingsFile?
    if let path { file = try SettingsFile(path: path) }
    self.init(settings, given: given, environment: environment, file: file)
  }

  /// What a file alone says.
  init(_ settings: [Setting], file: SettingsFile) {
    self.init(
      settings, given: CommandLineSettings([], settings), environment: [:], file: file)
  }

  private init(
    _ settings: [Setting], given: CommandLineSettings, environment: [String: String],
    file: SettingsFile?
  ) {
    var fromFile: [String: String] = [:]
    if let file { fromFile = read(file, settings) }
    let everywhere = settings.filter { $0.place == .anywhere }
    let trace = AccessTrace()
    let reader = ConfigReader(
      providers: [
        Self.provider(Self.commandLineName, given.values),
        EnvironmentVariablesProvider(environmentVariables: environment)
          .prefixKeys(with: "cadastre"),
        Self.provider(Self.fileName, fromFile),
      ], accessReporter: trace)
    for setting in settings {
      guard setting.place == .anywhere else {
        let value = given.values[setting.name]
        entries.append(
          Entry(
            setting: setting, value: value ?? setting.fallback,
            origin: value == nil ? .fallback : .commandLine))
        continue
      }
      let value = reader.string(
        forKey: ConfigKey([setting.name]), isSecret: setting.isSecret)
      let origin: Origin =
        switch trace.lastProvider {
        case nil: .fallback
        case let name? where name.contains(Self.commandLineName): .commandLine
        case let name? where name.contains(Self.fileName): .file(file?.path ?? "")
        default: .environment(variable: setting.variable)
        }
      entries.append(Entry(setting: setting, value: value ?? setting.fallback, origin: origin))
    }
    check(file)
    let known = Set(everywhere.map(\.variable) + Self.otherVariables)
    for variable in environment.keys.sorted()
    where variable.hasPrefix("CADASTRE_") && !known.contains(variable) {
      let near = nearest(to: variable, among: known.sorted())
      oddities.append(
        Finding(
          problem: Problem(
            .usage, code: "unknown-variable", "the variable \(variable) is no setting",
            help: near.map { "did you mean \($0)?" }), name: variable))
    }
  }

  private static let commandLineName = "command line"
  private static let fileName = "file"
  /// Variables of other commands.
  private static let otherVariables = [
    CatalogOptions.serverVariable, ConnectionSecurityOptions.tokenVariable,
    ServeSettings.fileVariable,
  ]

  private static func provider(_ name: String, _ values: [String: String]) -> InMemoryProvider {
    InMemoryProvider(
      name: name,
      values: Dictionary(
        uniqueKeysWithValues: values.map { key, value in
          (AbsoluteConfigKey([key]), ConfigValue(.string(value), isSecret: false))
        }))
  }

  /// The arguments of `serve` that say what was not said on the command line.
  var added: [String] {
    entries.compactMap { entry in
      switch entry.origin {
      case .commandLine, .fallback: return nil
      case .environment, .file: break
      }
      guard let value = entry.value else { return nil }
      switch entry.setting.shape {
      case .value, .list: return "--\(entry.setting.name)=\(value)"
      case .flag: return Setting.truth(value) == true ? "--\(entry.setting.name)" : nil
      }
    }
  }

  // MARK: - What is wrong

  /// The file's values by key, as texts; notes keys and values that are none.
  private mutating func read(_ file: SettingsFile, _ settings: [Setting]) -> [String: String] {
    var values: [String: String] = [:]
    for (key, value) in file.values {
      guard let setting = settings.first(where: { $0.name == key }) else {
        let names = settings.filter { $0.place == .anywhere }.map(\.name)
        let near = nearest(to: key, among: names)
        note(
          key, "unknown-setting", "\(file.path): \(key) is no setting",
          near.map { "did you mean \($0)?" }
            ?? "`cadastre config example` lists the settings")
        continue
      }
      guard setting.place == .anywhere else {
        note(
          key, "not-in-a-file", "\(file.path): \(key) is for the command line alone",
          "take it out, and give --\(key) where it is wanted")
        continue
      }
      guard let text = value.argument, Self.suits(value, setting) else {
        note(
          key, "bad-setting", "\(file.path): \(key) has a value of the wrong kind",
          "write it as \(setting.example)")
        continue
      }
      values[key] = text
    }
    return values
  }

  private static func suits(_ value: SettingsFile.Value, _ setting: Setting) -> Bool {
    guard case .list(let parts) = value else { return true }
    guard case .list = setting.shape else { return false }
    return !parts.contains { $0.contains(",") }
  }

  /// Looks at the values that do not come from the command line, which its parser looks at.
  private mutating func check(_ file: SettingsFile?) {
    for entry in entries {
      guard let value = entry.value else { continue }
      let place: String
      switch entry.origin {
      case .commandLine, .fallback: continue
      case .environment(let variable): place = variable
      case .file(let path): place = "\(path): \(entry.setting.name)"
      }
      guard let problem = entry.setting.problem(with: value) else { continue }
      let shown = entry.setting.isSecret ? "its value" : "\"\(abbreviated(value))\""
      note(
        entry.setting.name, "bad-setting", "\(place): \(shown) does not do: \(problem)",
        "write it as \(entry.setting.example)")
    }
  }

  private mutating func note(_ name: String, _ code: String, _ text: String, _ help: String?) {
    problems.append(Finding(problem: Problem(.usage, code: code, text, help: help), name: name))
  }
}

/// Keeps who had the last value that was asked for.
private final class AccessTrace: AccessReporter {
  private let last = Mutex<String?>(nil)

  /// Nil where nobody had one.
  var lastProvider: String? { last.withLock { $0 } }

  func report(_ event: AccessEvent) {
    let provider = event.providerResults.first { result in
      (try? result.result.get().value) != nil
    }
    last.withLock { $0 = provider?.providerName }
  }
}
