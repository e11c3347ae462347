import Replay
import Synchronization

/// The progress of a replay, on standard error.
final class ReplayBar: Sendable {
  private let label: String
  // Made once the replay says how much there is.
  private let bar = Mutex<ProgressBar?>(nil)

  init(_ label: String) { self.label = label }

  func update(_ progress: ReplayProgress) {
    let bar = bar.withLock { bar in
      let made = bar ?? ProgressBar(label, unit: "entries", total: progress.entryTotal)
      bar = made
      return made
    }
    bar.update(progress.entryCount)
  }

  func finish() { bar.withLock { $0 }?.finish() }
}
