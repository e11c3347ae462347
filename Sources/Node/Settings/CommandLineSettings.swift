/// What the arguments of `serve` say, by the names of settings. Whether they can be said is left to
/// the parser.
struct CommandLineSettings: Sendable {
  /// "true" or "false" of a flag.
  private(set) var values: [String: String] = [:]
  /// The file that is named.
  private(set) var file: String?

  init(_ arguments: [String], _ settings: [Setting]) {
    var rest = arguments[...]
    while let argument = rest.popFirst(), argument != "--" {
      guard argument.hasPrefix("--") else { continue }
      let parts = argument.dropFirst(2).split(
        separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(parts.first ?? "")
      func value() -> String? { parts.count > 1 ? String(parts[1]) : rest.popFirst() }
      if name == ServeSettings.fileFlag {
        file = value()
      } else if let setting = settings.first(where: { $0.name == name }) {
        switch setting.shape {
        case .flag: values[name] = "true"
        case .value, .list: values[name] = value()
        }
      } else if name.hasPrefix("no-"), settings.contains(where: { "no-" + $0.name == name }) {
        values[String(name.dropFirst("no-".count))] = "false"
      }
    }
  }
}
