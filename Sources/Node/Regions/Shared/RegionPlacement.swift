import Catalog
import Replay

/// Where the streams of the regions that a node leads are kept, so that others may lead them after it.
package struct RegionPlacement: Sendable {
  /// Makes the way to a region's stream as it is since an epoch of the region: after a loss of the region
  /// it is another stream, which nobody leads who does not know of that.
  package var stream: @Sendable (Region, _ epoch: UInt64) -> any SharedStream
  package var window = WindowPolicy()
  /// How often the node says how far it has stored a stream, and how long that counts.
  package var reportInterval: Duration = .seconds(1)
  package var reportLifetime: Duration = .seconds(15)
  /// How long one that won a lead may take to store what it lacks, before it gives it back.
  package var takeOverLimit: Duration = .seconds(10)
  /// How long it may take at the end to put on record that all clocks have stopped.
  package var drainLimit: Duration = .seconds(5)

  package init(stream: @escaping @Sendable (Region, _ epoch: UInt64) -> any SharedStream) {
    self.stream = stream
  }
}
