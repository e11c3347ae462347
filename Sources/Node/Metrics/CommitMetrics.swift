import Replay
import Synchronization

/// Measures the commits of a store: told by its writer thread.
package final class CommitMetrics: StoreObserver {
  package let duration = Histogram(
    upTo: [
      .microseconds(250), .microseconds(500), .milliseconds(1), .microseconds(2500),
      .milliseconds(5), .milliseconds(10), .milliseconds(25), .milliseconds(50),
      .milliseconds(100), .milliseconds(250), .milliseconds(500), .seconds(1),
      .milliseconds(2500), .seconds(5),
    ])
  package let batchSize = Histogram(
    bounds: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096])
  private let clock: NodeClock
  /// When the commit under way began, by the clock. One thread at a time.
  private let begun: Mutex<Moment>

  package init(clock: NodeClock) {
    self.clock = clock
    begun = Mutex(clock.now())
  }

  package func commitBegins() {
    let now = clock.now()
    begun.withLock { $0 = now }
  }

  package func commitEnded(entries: Int) {
    guard entries > 0 else { return }  // Refusals and repeats write nothing.
    duration.observe(clock.now() - begun.withLock { $0 })
    batchSize.observe(UInt64(entries))
  }

  /// Writes what was measured.
  package func write(to text: inout MetricsText) {
    text.begin(
      "cadastre_commit_duration_seconds", .histogram,
      "Time from the first decision of a commit until it was synced to the disk.")
    text.sample(duration)
    text.begin("cadastre_commit_batch_size", .histogram, "Entries in a commit.")
    text.sample(batchSize)
  }
}
