import Catalog
import Replay
import Synchronization

/// How far behind its leader a node may be: a ``FreshnessBound`` behind a lock, by this process's
/// clock.
package final class Freshness: Sendable {
  private let bound = Mutex(FreshnessBound())
  private let isLeader: Atomic<Bool>

  /// - Parameter isLeader: A leader is never stale.
  package init(isLeader: Bool) { self.isLeader = Atomic(isLeader) }

  /// Takes note that the node leads from now on, or follows.
  package func setLeader(_ isLeader: Bool) {
    self.isLeader.store(isLeader, ordering: .sequentiallyConsistent)
  }

  /// How long ago the node last knew that it had everything; nil when it never did.
  package func staleness(at now: Moment) -> Duration? {
    if isLeader.load(ordering: .sequentiallyConsistent) { return .zero }
    return bound.withLock { $0.staleness(at: now.sinceStart) }
  }

  /// What was last heard of the leader's log.
  package var leader: (position: LogPosition, version: CatalogVersion) {
    bound.withLock { ($0.leaderPosition, $0.leaderVersion) }
  }

  /// The number of the next probe, which is sent at `now`.
  package func probe(at now: Moment) -> UInt64 {
    bound.withLock { $0.probe(at: now.sinceStart) }
  }

  /// Takes the word of who is followed that it was at `position` after it got the probe
  /// `answering`.
  ///
  /// `staleness` is what it says of itself: zero for the leader, more for a learner that stands in
  /// for it, nil when that never caught up, which tells nothing.
  package func heard(
    position: LogPosition, version: CatalogVersion, answering probe: UInt64,
    staleness: Duration?, stored: LogPosition
  ) {
    let leader = FollowMessage.Heartbeat(
      position: position, version: version, probe: probe, staleness: staleness)
    heard(leader, stored: stored)
  }

  /// Takes the word of who is followed; see ``FreshnessBound/heard(_:stored:)``.
  package func heard(_ leader: FollowMessage.Heartbeat, stored: LogPosition) {
    bound.withLock { $0.heard(leader, stored: stored) }
  }

  /// Notes that everything up to `position` is stored and published.
  package func stored(_ position: LogPosition) { bound.withLock { $0.stored(position) } }

  /// Forgets when the node had everything: it was another history's.
  package func forget() { bound.withLock { $0.forget() } }

  /// Forgets the probes under way: their answers went down with the connection.
  package func disconnected() { bound.withLock { $0.disconnected() } }
}
