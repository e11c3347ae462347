import ArgumentParser
import Replay

/// What of the past a log keeps.
struct RetentionOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "For how long the log's entries are kept, as 30d, or forever. Default: forever.",
      valueName: "duration"),
    transform: parseRetention)
  var keepLog: Retention?

  @Option(
    help: ArgumentHelp(
      "For how long every checkpoint is kept. Default: 1d.", valueName: "duration"),
    transform: parseRetention)
  var keepCheckpoints: Retention?

  @Option(
    help: ArgumentHelp(
      "For how long one checkpoint an hour is kept. Default: 7d.", valueName: "duration"),
    transform: parseRetention)
  var keepHourly: Retention?

  @Option(
    help: ArgumentHelp(
      "For how long one checkpoint a day is kept. Default: 90d.", valueName: "duration"),
    transform: parseRetention)
  var keepDaily: Retention?

  @Option(
    help: ArgumentHelp(
      "For how long one checkpoint a week is kept. Default: forever.", valueName: "duration"),
    transform: parseRetention)
  var keepWeekly: Retention?

  /// A duration, or for ever.
  enum Retention: Hashable, Sendable {
    case lasting(Duration)
    case forever

    var duration: Duration? {
      if case .lasting(let duration) = self { duration } else { nil }
    }
  }

  /// Whether any of them was given.
  var isGiven: Bool {
    [keepLog, keepCheckpoints, keepHourly, keepDaily, keepWeekly].contains { $0 != nil }
  }

  var policy: RetentionPolicy {
    let ever = Duration.hours(24 * 365 * 1_000)
    var policy = RetentionPolicy()
    if let keepLog { policy.log = keepLog.duration }
    if let keepCheckpoints { policy.everyCheckpoint = keepCheckpoints.duration ?? ever }
    if let keepHourly { policy.hourly = keepHourly.duration ?? ever }
    if let keepDaily { policy.daily = keepDaily.duration ?? ever }
    if let keepWeekly { policy.weekly = keepWeekly.duration }
    return policy
  }
}

/// Reads a duration, or `forever`.
@Sendable
func parseRetention(_ text: String) throws -> RetentionOptions.Retention {
  text == "forever" ? .forever : .lasting(try parseDuration(text))
}
