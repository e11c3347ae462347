import Catalog

/// Why `cadastre` could not do what it was asked: what a person reads, and what a script tests.
package struct Problem: Error, Sendable {
  package var status: ExitStatus
  /// A stable name for scripts, in lower case with hyphens.
  package var code: String
  /// What is wrong, without a full stop.
  package var message: String
  /// What to do about it.
  package var help: String?
  /// What a script needs to go on, as the current version after a stale one.
  package var details: [(name: String, value: JSON)]

  package init(
    _ status: ExitStatus, code: String, _ message: String, help: String? = nil,
    details: [(name: String, value: JSON)] = []
  ) {
    self.status = status
    self.code = code
    self.message = message
    self.help = help
    self.details = details
  }

  /// The problem of the command with this id, which is named so that it can be sent again safely:
  /// to programs always, to people where it may have been carried out or may be later.
  package func naming(_ command: CommandID) -> Problem {
    var problem = self
    problem.details.append(("command_id", .string(command.description)))
    switch status {
    case .failed, .unavailable, .interrupted:
      let again = "with --command-id \(command) it is carried out once, however often it is sent"
      problem.help = help.map { "\($0); \(again)" } ?? again
    case .success, .usage, .damaged, .refused, .notFound: break
    }
    return problem
  }

  /// The lines for people: `error: …` and, where there is a remedy, `help: …`.
  package func text(style: TerminalStyle = .plain) -> String {
    style.red("error:") + " \(message)\n" + (help.map { style.bold("help:") + " \($0)\n" } ?? "")
  }

  /// The document that `--json` writes to standard error instead of ``text(style:)``.
  package var json: JSON {
    var fields: [(name: String, value: JSON)] = [
      ("code", .string(code)),
      ("message", .string(message)),
      ("help", .init(help)),
      ("exit_status", .number(UInt64(status.rawValue))),
    ]
    if !details.isEmpty { fields.append(("details", .object(details))) }
    return .object([("error", .object(fields))])
  }
}
