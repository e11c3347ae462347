import Catalog
import StateMachines

/// What a node that is followed says of itself: taken for each call of a ``LeaderSession``.
package struct LeaderView: Sendable {
  package var catalog: CatalogID
  /// Where the last durable state is in its stream.
  package var tail: LogTail
  /// Counts the states that were taken over whole. Read before the state.
  package var era: Int
  /// How long ago the node last knew that it had everything; zero at the leader, nil where it does
  /// not know. Read before the state.
  package var staleness: Duration?

  package init(era: Int, staleness: Duration?, state: CatalogState) {
    self.era = era
    self.staleness = staleness
    catalog = state.catalog
    tail = LogTail(position: state.appliedThrough, hash: state.lastHash, version: state.version)
  }

  /// That of the stream of a region.
  package init(era: Int, staleness: Duration?, state: RegionState) {
    self.era = era
    self.staleness = staleness
    catalog = state.catalog
    tail = LogTail(position: state.appliedThrough, hash: state.lastHash, version: .zero)
  }
}

/// The leader's side of one learner's stream: says what to send, and knows no connection.
///
/// A learner that is connected asks with probes how far the leader is; each is answered when
/// everything that the leader had when it came was sent.
package struct LeaderSession: Sendable {
  private let log: any StreamLog
  private let messageByteCount: Int
  private let era: Int
  /// The last entry that was sent, or that the learner had.
  package private(set) var cursor: LogPosition
  /// The last probe that was answered.
  private var answered: UInt64 = 0
  /// Whether a reset ended the session.
  package private(set) var isOver = false

  /// How many entries are read at once.
  private static let sliceCount: UInt64 = 8192

  /// Takes up a learner that begins with `start`. Messages get about `messageByteCount` bytes.
  ///
  /// - Returns: The session, and what to send first.
  package static func begin(
    _ start: FollowStart, log: any StreamLog, view: LeaderView, messageByteCount: Int
  ) throws(StoreError) -> (session: LeaderSession, first: FollowMessage) {
    var session = LeaderSession(
      log: log, messageByteCount: messageByteCount, era: view.era, cursor: start.after)
    if let reason = try session.mismatch(start, view.tail) {
      return (session, session.reset(reason, view))
    }
    return (session, .started(view.catalog, try session.heartbeat(view, answering: 0)))
  }

  private init(log: any StreamLog, messageByteCount: Int, era: Int, cursor: LogPosition) {
    self.log = log
    self.messageByteCount = messageByteCount
    self.era = era
    self.cursor = cursor
  }

  /// What to send now, `probe` being the last that came; nothing when the learner has it all and its
  /// answers. Nothing after a reset.
  ///
  /// - Throws: ``StoreError`` when the log cannot be read.
  package mutating func next(
    _ view: LeaderView, probe: UInt64
  ) throws(StoreError) -> [FollowMessage] {
    guard !isOver else { return [] }
    // A state that was taken over is not reached by entries.
    guard view.era == era else { return [reset(.trimmed, view)] }
    let last = try end(view).position
    if cursor < last {
      guard let entries = try entries(after: cursor, through: last) else {
        return [reset(.trimmed, view)]
      }
      // The answer to the probe goes with the entries after these, or after them.
      let messages = try messages(entries, view)
      cursor = LogPosition(cursor.rawValue + UInt64(entries.count))
      return messages
    }
    guard probe > answered else { return [] }
    answered = probe
    return [.heartbeat(try heartbeat(view, answering: probe))]
  }

  /// The last entry that learners are told of. Where the log is damaged behind the state, the entry
  /// after the last one may name another one in its place: then it is that one which is damaged, in
  /// a part that no digest covers, and not to be passed on.
  private func end(
    _ view: LeaderView
  ) throws(StoreError) -> (position: LogPosition, version: CatalogVersion) {
    let tail = view.tail
    // Who knows itself whole knows its last entry.
    guard view.staleness == nil, tail.position > .zero,
      try log.hash(at: tail.position, before: tail) != tail.hash
    else { return (tail.position, tail.version) }
    let before = LogPosition(tail.position.rawValue - 1)
    let version =
      before >= (try log.firstPosition()) ? try log.entry(at: before)?.entry.version : nil
    return (before, version ?? tail.version)
  }

  /// The bytes of some entries; nil when they are no longer retained. The log may hold more than is
  /// proven: nothing of that is sent.
  private func entries(
    after position: LogPosition, through last: LogPosition
  ) throws(StoreError) -> [[UInt8]]? {
    let count = min(Self.sliceCount, last.rawValue - position.rawValue)
    do {
      return try log.entryBytes(
        from: position.next, maxCount: Int(count), maxBytes: messageByteCount)
    } catch {
      guard case .notRetained = error else { throw error }
      return nil
    }
  }

  /// Entries in messages of about the allowed size, and larger ones in parts.
  private func messages(
    _ entries: [[UInt8]], _ view: LeaderView
  ) throws(StoreError) -> [FollowMessage] {
    var messages: [FollowMessage] = []
    var (batch, byteCount) = ([[UInt8]](), 0)
    func flush(through position: LogPosition) throws(StoreError) {
      guard !batch.isEmpty else { return }
      messages.append(
        .entries(
          batch, lastHash: try log.hash(at: position, before: view.tail),
          try heartbeat(view, answering: answered)))
      (batch, byteCount) = ([], 0)
    }
    var last = cursor
    for entry in entries {
      if byteCount + entry.count > messageByteCount { try flush(through: last) }
      last = last.next
      if entry.count > messageByteCount {
        messages += parts(of: entry, last, try log.hash(at: last, before: view.tail))
      } else {
        batch.append(entry)
        byteCount += entry.count
      }
    }
    try flush(through: last)
    return messages
  }

  private func parts(
    of entry: [UInt8], _ position: LogPosition, _ hash: EntryHash?
  ) -> [FollowMessage] {
    stride(from: 0, to: entry.count, by: messageByteCount).map { offset in
      let end = min(offset + messageByteCount, entry.count)
      return .part(
        FollowMessage.EntryPart(
          position: position, bytes: Array(entry[offset..<end]), isLast: end == entry.count,
          entryByteCount: entry.count, hash: end == entry.count ? hash : nil))
    }
  }

  /// Why entries cannot bring the learner up to date; nil when they can.
  private func mismatch(
    _ start: FollowStart, _ tail: LogTail
  ) throws(StoreError) -> FollowReset.Reason? {
    guard start.after <= tail.position else { return .diverged }
    guard try start.after.next >= log.firstPosition() else { return .trimmed }
    guard start.after > .zero else { return nil }
    return try log.hash(at: start.after, before: tail) == start.hash ? nil : .diverged
  }

  private func heartbeat(
    _ view: LeaderView, answering probe: UInt64
  ) throws(StoreError) -> FollowMessage.Heartbeat {
    let end = try end(view)
    return FollowMessage.Heartbeat(
      position: end.position, version: end.version, probe: probe, staleness: view.staleness)
  }

  private mutating func reset(_ reason: FollowReset.Reason, _ view: LeaderView) -> FollowMessage {
    isOver = true
    return .reset(
      FollowReset(
        reason: reason, firstPosition: (try? log.firstPosition()) ?? .zero,
        lastPosition: view.tail.position))
  }
}
