import Catalog

/// When a checkpoint is made: the first of these that comes true, and only when there is a version
/// that the last checkpoint does not have.
package struct CheckpointPolicy: Hashable, Sendable {
  /// After so many versions.
  package var versions: UInt64 = 1_000
  /// After so many events, each route of a bootstrap counted as one.
  package var events: UInt64 = 50_000
  /// When there is a new version and the last checkpoint was made so long ago.
  package var age: Duration = .seconds(300)
  /// When the store is closed and so many versions or events would have to be replayed.
  package var versionsAtClose: UInt64 = 100
  package var eventsAtClose: UInt64 = 5_000

  package init() {}

  /// No checkpoints but those that are asked for.
  package static let onRequest: CheckpointPolicy = {
    var policy = CheckpointPolicy()
    policy.versions = .max
    policy.events = .max
    policy.age = .seconds(Int64.max / 1_000_000)
    policy.versionsAtClose = .max
    policy.eventsAtClose = .max
    return policy
  }()

  /// What came since the last checkpoint.
  package struct Growth: Hashable, Sendable {
    package var versions: UInt64 = 0
    package var events: UInt64 = 0
    /// How long ago the last checkpoint was made, or the first of the new versions seen.
    package var age: Duration = .zero

    package init(versions: UInt64 = 0, events: UInt64 = 0, age: Duration = .zero) {
      self.versions = versions
      self.events = events
      self.age = age
    }
  }

  package func isDue(_ growth: Growth) -> Bool {
    growth.versions > 0
      && (growth.versions >= versions || growth.events >= events || growth.age >= age)
  }

  package func isDueAtClose(_ growth: Growth) -> Bool {
    growth.versions > 0 && (growth.versions >= versionsAtClose || growth.events >= eventsAtClose)
  }
}
