import Catalog

/// How far behind its leader a learner may be.
///
/// It asks its leader where it is, in probes, and knows from the answer that the leader had come this
/// far at the earliest when it asked. Once it has stored that much itself, it was up to date when it
/// asked. So its staleness is an upper bound that compares no two machines' clocks, however long a
/// message was under way.
///
/// Times are those of one clock that only runs forward, since its start.
package struct FreshnessBound: Sendable {
  private var probes: [(number: UInt64, sent: Duration)] = []
  private var lastProbe: UInt64 = 0
  // The answers that tell of more than is stored yet, in order.
  private var unmet: [(position: LogPosition, asked: Duration)] = []
  /// When the node last knew that it had everything; nil when it never did.
  package private(set) var upToDateAt: Duration?
  /// What was last heard of the leader's log.
  package private(set) var leaderPosition = LogPosition.zero
  package private(set) var leaderVersion = CatalogVersion.zero

  package init() {}

  /// How long ago the node last knew that it had everything; nil when it never did.
  package func staleness(at now: Duration) -> Duration? {
    upToDateAt.map { max(.zero, now - $0) }
  }

  /// The number of the next probe, which is sent at `now`.
  package mutating func probe(at now: Duration) -> UInt64 {
    lastProbe += 1
    probes.append((lastProbe, now))
    // A leader that answers none for so long is reconnected to; older ones tell nothing more.
    if probes.count > 64 { probes.removeFirst() }
    return lastProbe
  }

  /// Takes the word of who is followed. `stored` is the last position that is stored and published
  /// here.
  package mutating func heard(_ leader: FollowMessage.Heartbeat, stored: LogPosition) {
    (leaderPosition, leaderVersion) = (leader.position, leader.version)
    if let asked = probes.last(where: { $0.number <= leader.probe })?.sent {
      probes.removeAll { $0.number <= leader.probe }
      guard let staleness = leader.staleness else { return }
      unmet.append((leader.position, asked - staleness))
      // The newest question that all of the backlog answers is the one that will count.
      if unmet.count > 64 { unmet.removeFirst() }
    }
    meet(stored)
  }

  /// Notes that everything up to `position` is stored and published.
  package mutating func stored(_ position: LogPosition) { meet(position) }

  /// Forgets when the node had everything: it was another history's.
  package mutating func forget() {
    disconnected()
    upToDateAt = nil
  }

  /// Forgets the probes under way: their answers went down with the connection.
  package mutating func disconnected() {
    probes.removeAll()
    unmet.removeAll()
  }

  private mutating func meet(_ stored: LogPosition) {
    while let first = unmet.first, first.position <= stored {
      upToDateAt = max(upToDateAt ?? first.asked, first.asked)
      unmet.removeFirst()
    }
  }
}
