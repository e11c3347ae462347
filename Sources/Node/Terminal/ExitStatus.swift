/// How `cadastre` ends: the numbers are part of its interface and do not change.
package enum ExitStatus: Int32, CaseIterable, Sendable {
  case success = 0
  case failed = 1
  case usage = 2
  case damaged = 3
  case refused = 4
  case notFound = 5
  case unavailable = 6
  case interrupted = 130

  /// What the status says, as the help lists it.
  package var meaning: String {
    switch self {
    case .success: "done, or done already"
    case .failed: "failed for another reason, as a full disk"
    case .usage: "the arguments, or a file given as input, are malformed"
    case .damaged: "a log is damaged, or a digest is not the expected one"
    case .refused: "the catalog, or the server, refused the command; nothing changed"
    case .notFound: "no such folder, file, catalog, route or entry"
    case .unavailable: "the server or folder cannot do this now; asking again may help"
    case .interrupted: "stopped by Ctrl-C before it was done"
    }
  }

  /// One aligned line for each status.
  package static var table: String {
    allCases.map { status in
      let number = String(status.rawValue)
      return "  " + String(repeating: " ", count: 3 - number.count) + number + "  " + status.meaning
    }.joined(separator: "\n")
  }
}
