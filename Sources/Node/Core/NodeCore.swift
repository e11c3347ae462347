import CadastreClient
import Catalog
import Logging
import Replay
import StateMachines
import Synchronization

/// What the services of a node share: the store, how fresh it is, and who waits for it.
package final class NodeCore: Sendable {
  package let region: String
  package let store: CatalogStore
  package let freshness: Freshness
  package let clock: NodeClock
  package let limits: NodeLimits
  package let logger: Logger
  package let metrics: NodeMetrics
  /// Whom a learner follows; nil at a leader.
  package let upstreams: Upstreams?
  /// Watchers and followers: woken when something was published.
  package let changes = WakeHub()
  /// Reads that wait for a version or for freshness: woken by either.
  package let waits = WakeHub()
  /// Commands that wait for somebody to lead a cluster: woken when that changes.
  package let leads = WakeHub()
  package let startedAt: Moment
  /// How often watchers were told from the log what is no longer in memory.
  package let watchersReadLog = Atomic<UInt64>(0)
  /// Watchers that read the log, which takes memory.
  package let watchersAtLog: Turns

  private struct State {
    var role: NodeRole
    var cluster: ClusterStatus?
    var leaderAddress: String
    var learner: LearnerStatus?
    var era = 0
    var divergence: Divergence?
  }

  private let state: Mutex<State>

  package init(
    role: NodeRole, region: String, store: CatalogStore, clock: NodeClock, limits: NodeLimits,
    leaderAddress: String, upstreams: Upstreams? = nil, cluster: ClusterStatus? = nil,
    metrics: NodeMetrics? = nil, logger: Logger
  ) {
    self.region = region
    self.store = store
    self.clock = clock
    self.limits = limits
    watchersAtLog = Turns(limits.watchersAtLogAtOnce)
    self.logger = logger
    self.metrics = metrics ?? NodeMetrics(clock: clock)
    self.upstreams = upstreams
    freshness = Freshness(isLeader: role == .leader)
    startedAt = clock.now()
    state = Mutex(
      State(
        role: role, cluster: cluster, leaderAddress: leaderAddress,
        learner: role == .learner ? LearnerStatus() : nil))
  }

  /// What the node is; a member of a cluster leads now and then, and is a learner otherwise.
  package var role: NodeRole { state.withLock { $0.role } }

  /// The part that the node plays in its cluster; nil where there is none.
  package var cluster: ClusterStatus? { state.withLock { $0.cluster } }

  /// Changes what the status says of the cluster. Nothing where there is none.
  package func updateCluster(_ body: (inout ClusterStatus) -> Void) {
    state.withLock { state in
      guard var cluster = state.cluster else { return }
      body(&cluster)
      state.cluster = cluster
    }
  }

  /// Takes note that the node decides commands from now on, or that another one does: reads, watchers
  /// and listeners go on.
  package func setRole(_ role: NodeRole) {
    freshness.setLeader(role == .leader)
    state.withLock { $0.role = role }
    leads.publish()
    waits.publish()
    changes.publish()
  }

  /// Where commands are decided, as this node knows it.
  package var leaderAddress: String {
    get { state.withLock { $0.leaderAddress } }
    set { state.withLock { $0.leaderAddress = newValue } }
  }

  /// Counts the states that were taken over whole. Versions of different eras are of different
  /// histories: a watcher of an older era starts over.
  package var era: Int { state.withLock { $0.era } }

  package func beginEra() {
    state.withLock { state in
      state.era += 1
      state.learner?.resets += 1
    }
  }

  /// Why this node's history is not its leader's; nil as long as it is.
  package var divergence: Divergence? { state.withLock { $0.divergence } }

  /// Notes that this node and its leader have different histories: what it knew of its freshness is
  /// void.
  package func diverge(_ divergence: Divergence) {
    state.withLock { $0.divergence = divergence }
    freshness.forget()
    waits.publish()
  }

  /// Notes that this node's history is its leader's, as far as it goes.
  package func agree() {
    state.withLock { $0.divergence = nil }
  }

  /// Why the node cannot go on: damage, or an entry that cannot be applied; nil as long as it can.
  package var condition: StoreError? {
    store.condition ?? store.quarantined.map { .poisoned($0) }
  }

  /// How long ago the node last knew that it had everything; nil when it does not know: at a learner
  /// that never caught up or has diverged, and wherever the log is not whole, since nobody can tell
  /// what followed.
  package func staleness() -> Duration? {
    guard store.condition == nil, divergence == nil else { return nil }
    return freshness.staleness(at: clock.now())
  }

  /// Whether a command that is sent here would be decided, as far as this node knows.
  package var takesCommands: Bool {
    guard store.condition == nil, divergence == nil else { return false }
    return state.withLock { state in
      if state.role == .leader { return true }
      if state.cluster != nil { return !state.leaderAddress.isEmpty }
      return state.learner?.isConnected ?? true
    }
  }

  /// Changes what the status says of the bond to the leader. Nothing at a leader.
  package func updateLearner(_ body: (inout LearnerStatus) -> Void) {
    state.withLock { state in
      guard var learner = state.learner else { return }
      body(&learner)
      state.learner = learner
    }
  }

  /// Wakes whoever waits for what was just published.
  package func published() {
    metrics.watchers.published(store.current.version, at: clock.now())
    changes.publish()
    waits.publish()
  }

  /// Ends every wait, for good.
  package func close() {
    changes.close()
    waits.close()
    leads.close()
  }
}

extension NodeCore {
  /// The stamp of an answer from `version`, by the freshness known before the state was looked at.
  package func stamp(_ version: CatalogVersion, staleness: Duration?) -> ReadStamp {
    ReadStamp(
      version: version, servedAtMilliseconds: clock.wallMilliseconds(), staleness: staleness)
  }

  package func status(of view: CatalogView) -> NodeStatus {
    let current = view.state
    return NodeStatus(
      role: role, region: region, catalog: current.catalog, stamp: view.stamp,
      position: current.appliedThrough, firstPosition: (try? store.firstPosition()) ?? .zero,
      headHash: current.lastHash, digest: current.digest, lastTime: current.lastTime,
      routeCount: UInt64(current.routes.count), oldestVersion: store.retainedVersions.lowerBound,
      newestVersion: current.version, uptime: clock.now() - startedAt,
      leaderAddress: leaderAddress, learner: learner(at: current.appliedThrough),
      cluster: cluster, condition: condition.map { "\($0)" } ?? "",
      warnings: ([store.writeObstacle, store.checkpointCondition].compactMap(\.self)
        + store.checkpointWarnings).map { "\($0)" })
  }

  /// The bond to the leader, as it is now; nil at a leader.
  package var learner: LearnerStatus? { learner(at: store.current.appliedThrough) }

  private func learner(at position: LogPosition) -> LearnerStatus? {
    let leader = freshness.leader
    return state.withLock { $0.role == .leader ? nil : $0.learner }.map { learner in
      var learner = learner
      if let upstreams { learner.upstream = upstreams.status }
      learner.leaderPosition = leader.position
      learner.leaderVersion = leader.version
      learner.lag =
        leader.position > position ? leader.position.rawValue - position.rawValue : 0
      return learner
    }
  }
}

/// Why a learner's history is not its leader's, and what an operator can do about it.
package struct Divergence: Hashable, Sendable {
  package var problem: String
  package var remedy: String

  package init(problem: String, remedy: String) {
    self.problem = problem
    self.remedy = remedy
  }
}

/// How much a node lets its callers ask for.
package struct NodeLimits: Sendable {
  /// How long a read waits for its demand, whatever its deadline.
  package var patience: Duration = .seconds(2)
  /// The most keys or ids in one read.
  package var keysPerRead = 10_000
  /// The most routes on a page, and how many where nobody says.
  package var routesPerPage = 10_000
  package var defaultRoutesPerPage = 1000
  /// About how many bytes of routes or entries go into a message of a stream or a page.
  package var messageByteCount = 1 << 20
  /// How often a watch tells that nothing changed, where nobody says.
  package var progressInterval: Duration = .seconds(5)
  /// How long a watcher may take to read a snapshot. Until then its version is kept for it.
  package var snapshotPatience: Duration = .seconds(120)
  /// The most watchers that read the log at a time; the others wait for their turn.
  package var watchersAtLogAtOnce = 4
  /// The most questions about the past at a time.
  package var auditsAtOnce = 64

  package init() {}

  /// How long a read waits whose caller waits for `timeout`: a little less, since a refusal is worth
  /// more than the caller's own deadline. It says what there is. The clock is looked at every 20 ms,
  /// and the answer has to travel, on a busy machine too.
  package func wait(within timeout: Duration?) -> Duration {
    guard let timeout else { return patience }
    return min(patience, timeout - min(timeout / 4, .seconds(1)))
  }
}
