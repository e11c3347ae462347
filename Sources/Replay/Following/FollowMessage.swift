import Catalog

/// How a learner begins to follow.
package struct FollowStart: Hashable, Sendable {
  /// The last entry that the learner has; zero for none.
  package var after: LogPosition
  /// That entry's hash; nil for none.
  package var hash: EntryHash?

  package init(after: LogPosition, hash: EntryHash?) {
    self.after = after
    self.hash = hash
  }
}

/// What a learner is told by the node that it follows, in this order: ``started(_:_:)``, then any of
/// the others, until a ``reset(_:)`` ends it; or that alone.
package enum FollowMessage: Sendable {
  case started(CatalogID, Heartbeat)
  /// The bytes of whole entries, one after the other, and the hash of the last, which no later entry
  /// vouches for yet; nil from a leader that gives none.
  case entries([[UInt8]], lastHash: EntryHash?, Heartbeat)
  case part(EntryPart)
  case heartbeat(Heartbeat)
  case reset(FollowReset)

  /// How far a leader had come when it said so.
  package struct Heartbeat: Hashable, Sendable {
    package var position: LogPosition
    package var version: CatalogVersion
    /// The last probe that had reached the leader by then; 0 for none.
    package var probe: UInt64
    /// How long ago who is followed last knew that it had everything: zero for the leader, nil for a
    /// learner that stands in for it and does not know.
    package var staleness: Duration?

    package init(
      position: LogPosition, version: CatalogVersion, probe: UInt64, staleness: Duration?
    ) {
      self.position = position
      self.version = version
      self.probe = probe
      self.staleness = staleness
    }
  }

  /// A part of an entry that is too big for one message.
  package struct EntryPart: Hashable, Sendable {
    package var position: LogPosition
    package var bytes: [UInt8]
    package var isLast: Bool
    /// How many bytes the entry has in all.
    package var entryByteCount: Int
    /// With the last part: the hash of the entry; nil from a leader that gives none.
    package var hash: EntryHash?

    package init(
      position: LogPosition, bytes: [UInt8], isLast: Bool, entryByteCount: Int, hash: EntryHash?
    ) {
      self.position = position
      self.bytes = bytes
      self.isLast = isLast
      self.entryByteCount = entryByteCount
      self.hash = hash
    }
  }
}

/// What a leader says when entries do not lead from where a learner is to where the leader is.
package struct FollowReset: Hashable, Sendable {
  package enum Reason: Hashable, Sendable {
    /// The entries in between are no longer there.
    case trimmed
    /// The learner's last entry is not the leader's.
    case diverged
    /// One that a later version knows.
    case unknown
  }

  package var reason: Reason
  /// What the leader still has.
  package var firstPosition: LogPosition
  package var lastPosition: LogPosition

  package init(reason: Reason, firstPosition: LogPosition, lastPosition: LogPosition) {
    self.reason = reason
    self.firstPosition = firstPosition
    self.lastPosition = lastPosition
  }
}
