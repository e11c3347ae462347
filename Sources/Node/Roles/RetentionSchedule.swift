import Catalog
import Logging
import NIOPosix
import Replay
import StateMachines

/// Trims a node's log by policy, now and then, for as long as the node runs.
struct RetentionSchedule: Sendable {
  let core: NodeCore
  let policy: RetentionPolicy
  /// The pause between two looks; the first comes after a tenth of it.
  let interval: Duration

  func run() async throws {
    var pause = interval / 10
    while true {
      try await Task.sleep(for: pause)
      pause = interval
      guard core.condition == nil else { continue }
      await trim()
    }
  }

  private func trim() async {
    let (store, policy, clock) = (core.store, policy, core.clock)
    do {
      // It blocks for as long as it takes: not on a thread that tasks run on.
      let report = try await NIOThreadPool.singleton.runIfActive {
        try store.trim(policy, nowMilliseconds: clock.wallMilliseconds()) { () throws(StoreError) in
          try SigningKeyFile.ofNode(in: store.folder)
        }
      }
      guard !report.isEmpty else { return }
      core.logger.notice(
        "trimmed the log",
        metadata: [
          "catalog_version": "\(store.current.version)", "begins_after": "\(report.base)",
          "entries": "\(report.entryCount)", "bytes": "\(report.entryByteCount)",
          "checkpoints": "\(report.dropped.count)",
          "file_before": "\(report.logFile?.before ?? 0)",
          "file_after": "\(report.logFile?.after ?? 0)",
        ])
    } catch {
      core.logger.error(
        "could not trim the log: trying again later",
        metadata: ["catalog_version": "\(store.current.version)", "error": "\(error)"])
    }
  }
}
