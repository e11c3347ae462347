import Catalog

/// Who decides what is appended to a store's log.
package enum StoreRole: Hashable, Sendable {
  /// The store itself: it takes commands.
  case leader
  /// Another store, whose entries this one takes over.
  case learner
  /// The members of a cluster, each while it leads.
  case member
}

/// How a store works; the defaults do for a node.
package struct StoreOptions: Sendable {
  package var role = StoreRole.leader
  /// Lets a leader go on with the log of a mirror, which is none from then on. On purpose only: two
  /// leaders of one catalog make two histories.
  package var promotesMirror = false
  package var log = LogOptions()
  /// How many versions ``CatalogStore/table(at:)`` knows.
  package var historyCapacity = CatalogHistory.defaultCapacity
  /// When checkpoints are made.
  package var checkpoints = CheckpointPolicy()
  /// Whether a leader commits to each checkpoint in its log, so that routes can be proven.
  package var commitsToCheckpoints = true
  /// A commit takes at most this many commands.
  package var maximumBatchCount = 4096
  /// A commit takes no further command once its entries have this many bytes.
  package var maximumBatchByteCount = 8 << 20
  /// A command that finds this many waiting is refused.
  package var maximumWaitingCount = 100_000
  /// Who measures the commits; nil: nobody.
  package var observer: (any StoreObserver)?

  package init(role: StoreRole = .leader) { self.role = role }
}
