import Foundation

/// Whether text may carry the codes that a terminal shows as colour and weight.
package enum TerminalStyle: Sendable {
  case plain
  case styled

  /// Styled on a terminal, unless `NO_COLOR` is set or the terminal is a dumb one.
  package static func of(
    descriptor: Int32, environment: [String: String] = ProcessInfo.processInfo.environment
  ) -> TerminalStyle {
    guard isatty(descriptor) == 1, environment["NO_COLOR", default: ""].isEmpty,
      environment["TERM"] != "dumb"
    else { return .plain }
    return .styled
  }

  package func faint(_ text: String) -> String { wrapped(text, in: "2") }
  package func bold(_ text: String) -> String { wrapped(text, in: "1") }
  package func red(_ text: String) -> String { wrapped(text, in: "31") }

  private func wrapped(_ text: String, in code: String) -> String {
    switch self {
    case .plain: text
    case .styled: "\u{1B}[\(code)m\(text)\u{1B}[0m"
    }
  }
}
