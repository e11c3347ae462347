import Catalog
import Synchronization

/// How far behind its leader a node may be.
///
/// A learner asks its leader where it is, in probes, and knows from the answer that the leader had
/// come this far at the earliest when it asked. Once it has stored that much itself, it was up to
/// date when it asked. So its staleness is an upper bound that compares no two machines' clocks,
/// however long a message was under way.
package final class Freshness: Sendable {
  fileprivate struct State {
    var probes: [(number: UInt64, sent: Moment)] = []
    var lastProbe: UInt64 = 0
    // The answers that tell of more than is stored yet, in order.
    var unmet: [(position: LogPosition, asked: Moment)] = []
    var upToDateAt: Moment?
    var leaderPosition = LogPosition.zero
    var leaderVersion = CatalogVersion.zero
  }

  private let state = Mutex(State())
  private let isLeader: Bool

  /// - Parameter isLeader: A leader is never stale.
  package init(isLeader: Bool) { self.isLeader = isLeader }

  /// How long ago the node last knew that it had everything; nil when it never did.
  package func staleness(at now: Moment) -> Duration? {
    if isLeader { return .zero }
    return state.withLock { state in state.upToDateAt.map { max(.zero, now - $0) } }
  }

  /// What was last heard of the leader's log.
  package var leader: (position: LogPosition, version: CatalogVersion) {
    state.withLock { ($0.leaderPosition, $0.leaderVersion) }
  }

  /// The number of the next probe, which is sent at `now`.
  package func probe(at now: Moment) -> UInt64 {
    state.withLock { state in
      state.lastProbe += 1
      state.probes.append((state.lastProbe, now))
      // A leader that answers none for so long is reconnected to; older ones tell nothing more.
      if state.probes.count > 64 { state.probes.removeFirst() }
      return state.lastProbe
    }
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
    state.withLock { state in
      (state.leaderPosition, state.leaderVersion) = (position, version)
      if let asked = state.probes.last(where: { $0.number <= probe })?.sent {
        state.probes.removeAll { $0.number <= probe }
        guard let staleness else { return }
        state.unmet.append((position, Moment(sinceStart: asked.sinceStart - staleness)))
        // The newest question that all of the backlog answers is the one that will count.
        if state.unmet.count > 64 { state.unmet.removeFirst() }
      }
      state.meet(stored)
    }
  }

  /// Notes that everything up to `position` is stored and published.
  package func stored(_ position: LogPosition) {
    state.withLock { $0.meet(position) }
  }

  /// Forgets when the node had everything: it was another history's.
  package func forget() {
    state.withLock { state in
      state.probes.removeAll()
      state.unmet.removeAll()
      state.upToDateAt = nil
    }
  }

  /// Forgets the probes under way: their answers went down with the connection.
  package func disconnected() {
    state.withLock { state in
      state.probes.removeAll()
      state.unmet.removeAll()
    }
  }
}

extension Freshness.State {
  fileprivate mutating func meet(_ stored: LogPosition) {
    while let first = unmet.first, first.position <= stored {
      upToDateAt = max(upToDateAt ?? first.asked, first.asked)
      unmet.removeFirst()
    }
  }
}
