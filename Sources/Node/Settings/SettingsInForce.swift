import Foundation
import Logging

/// The settings that a node was started with, to be compared with what its file says by now. They count
/// from the start to the end of the process: what changed is said, not taken up.
struct SettingsInForce: Sendable {
  private let arguments: [String]
  private let environment: [String: String]
  /// By name; none where they cannot be read.
  private let values: [String: String]

  /// Reads what this process was started with.
  init(
    arguments: [String] = Array(CommandLine.arguments.dropFirst(2)),
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) {
    (self.arguments, self.environment) = (arguments, environment)
    let settings = try? EffectiveSettings(
      ServeSettings.all, arguments: arguments, environment: environment)
    values = settings.map(Self.values) ?? [:]
  }

  /// Reads the file again, where there is one, and logs what is wrong with it, or what would be other
  /// than it is.
  func compare(logger: Logger) {
    let settings: EffectiveSettings
    do throws(Problem) {
      settings = try EffectiveSettings(
        ServeSettings.all, arguments: arguments, environment: environment)
      if let problem = settings.problems.first { throw problem.problem }
    } catch {
      logger.error(
        "the settings cannot be used: the node would not start with them",
        metadata: ["error": "\(error.message)", "remedy": "\(error.help ?? "")"])
      return
    }
    let now = Self.values(settings)
    let changed = Set(now.keys).union(values.keys).filter { now[$0] != values[$0] }.sorted()
    guard !changed.isEmpty else {
      logger.notice("the settings are as they were at the start")
      return
    }
    logger.warning(
      "the settings have changed: restart the node to have them in force",
      metadata: ["settings": "\(changed.joined(separator: ", "))"])
  }

  private static func values(_ settings: EffectiveSettings) -> [String: String] {
    Dictionary(
      settings.entries.compactMap { entry in entry.value.map { (entry.setting.name, $0) } },
      uniquingKeysWith: { $1 })
  }
}
