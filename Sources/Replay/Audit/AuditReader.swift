import Catalog
import StateMachines

/// Answers questions about the past of a catalog from its log, beside whoever writes it, at a cost
/// that follows what changed.
///
/// All of it works at every retained version. Long answers are cursors: each call of `next` does a
/// bounded piece of work and hands out a page, so that memory stays bounded and a caller that is slow
/// holds up nobody. Cursors are values of their caller's; the reader may be used from any thread.
package struct AuditReader: Sendable {
  let log: EventLog
  /// The checkpoints beside the log, once there are any.
  let checkpoints: @Sendable () -> CheckpointStore?
  /// What a node has in memory anyway; nil at a folder.
  let live: LiveCatalog?
  let caches: AuditCaches
  /// Asked now and then; true ends the work with ``StoreError/cancelled(after:)``.
  package var isCancelled: (@Sendable () -> Bool)?
  /// Told how far the replay has come where there are no checkpoints.
  package var onProgress: (@Sendable (ReplayProgress) -> Void)?

  /// - Parameters:
  ///   - log: The log to read.
  ///   - checkpoints: The checkpoints beside it, once there are any; nil looks for them in its folder.
  ///   - live: What a node has in memory anyway; nil at a folder.
  package init(
    _ log: EventLog, checkpoints: (@Sendable () -> CheckpointStore?)? = nil,
    live: LiveCatalog? = nil
  ) {
    self.init(log, checkpoints: checkpoints, live: live, replayInterval: 1024)
  }

  init(
    _ log: EventLog, checkpoints: (@Sendable () -> CheckpointStore?)? = nil,
    live: LiveCatalog? = nil, replayInterval: UInt64
  ) {
    self.log = log
    if let checkpoints {
      self.checkpoints = checkpoints
    } else {
      let found = FoundCheckpoints(log)
      self.checkpoints = { found.store }
    }
    self.live = live
    caches = AuditCaches(replayInterval: replayInterval)
  }

  package var catalog: CatalogID { log.catalog }
}

/// The catalog of a running node, of which recent versions are in memory.
package struct LiveCatalog: Sendable {
  /// The last published state: nothing after it is told, since it may not be proven.
  package var current: @Sendable () -> CatalogState
  /// The routes at a version, if that is in memory.
  package var table: @Sendable (CatalogVersion) -> RouteTable?

  package init(
    current: @escaping @Sendable () -> CatalogState,
    table: @escaping @Sendable (CatalogVersion) -> RouteTable?
  ) {
    self.current = current
    self.table = table
  }
}

/// Which version a question is about.
package enum AsOf: Hashable, Sendable {
  case newest
  case version(CatalogVersion)
  /// The one that stood at this time.
  case time(HybridTimestamp)
}

/// A version with the entry that made it.
package struct AuditPoint: Hashable, Sendable {
  package var version: CatalogVersion
  /// The entry that made the version; zero before the first.
  package var position: LogPosition
  /// When that was; nil before the first entry.
  package var time: HybridTimestamp?

  package init(version: CatalogVersion, position: LogPosition, time: HybridTimestamp?) {
    (self.version, self.position, self.time) = (version, position, time)
  }
}

/// What an entry says of itself besides its events.
package struct AuditStamp: Hashable, Sendable {
  package var position: LogPosition
  package var version: CatalogVersion
  package var time: HybridTimestamp
  package var actor: String
  package var reason: String
  package var command: CommandID

  package init(
    position: LogPosition, version: CatalogVersion, time: HybridTimestamp, actor: String,
    reason: String, command: CommandID
  ) {
    self.position = position
    self.version = version
    self.time = time
    self.actor = actor
    self.reason = reason
    self.command = command
  }

  init(_ entry: LogEntry) {
    self.init(
      position: entry.position, version: entry.version, time: entry.time, actor: entry.actor,
      reason: entry.reason, command: entry.command)
  }

  init(_ header: LogEntryHeader) {
    self.init(
      position: header.position, version: header.version, time: header.time, actor: header.actor,
      reason: header.reason, command: header.command)
  }
}

extension AuditReader {
  /// The versions that can be asked for. O(log *n*).
  package func retained() throws(AuditError) -> RetainedVersions {
    let (base, newest) = try ends()
    return RetainedVersions(
      oldest: base?.version ?? .zero, newest: newest.version, since: base?.time)
  }

  /// The last position that may be told of, with its version; the header of the base, where there is
  /// one.
  func ends() throws(AuditError) -> (
    base: BaseHeader?, newest: (position: LogPosition, version: CatalogVersion)
  ) {
    let live = live?.current()
    return try reading { () throws(StoreError) in
      try log.environment.read { transaction throws(StoreError) in
        let base = try log.baseHeader(in: transaction)
        if let live { return (base, (live.appliedThrough, live.version)) }
        let last = try transaction.last(in: log.tables.entries) {
          (key, bytes) throws(StoreError) in
          let position = try EventLog.position(key, expected: LogPosition(1))
          return (position, try EventLog.header(bytes, at: position).version)
        }
        return (base, last ?? (base?.position ?? .zero, base?.version ?? .zero))
      }
    }
  }

  /// The version that is meant. O(log *n*), or O(log² *n*) for a time.
  ///
  /// - Throws: ``AuditError`` that names the versions that can be asked for.
  package func resolve(_ asOf: AsOf) throws(AuditError) -> AuditPoint {
    let (base, newest) = try ends()
    let retained = RetainedVersions(
      oldest: base?.version ?? .zero, newest: newest.version, since: base?.time)
    switch asOf {
    case .newest: return try point(newest.version, base)
    case .version(let version):
      guard version <= retained.newest else { throw .versionInFuture(version, retained) }
      if version < retained.oldest {
        throw .versionNotRetained(version, retained)
      }
      return try point(version, base)
    case .time(let time):
      let position = try reading { () throws(StoreError) in try log.position(at: time) }
      guard let position else {
        // Before the first entry there were no routes.
        guard let base else { return try point(.zero, nil) }
        guard time >= base.time else { throw .timeNotRetained(time, retained) }
        return try point(base.version, base)
      }
      guard position < newest.position else { return try point(newest.version, base) }
      return try point(try header(at: position).version, base)
    }
  }

  /// The point of a version that the log leads to.
  private func point(
    _ version: CatalogVersion, _ base: BaseHeader?
  ) throws(AuditError) -> AuditPoint {
    if let base, version == base.version {
      return AuditPoint(version: version, position: base.position, time: base.time)
    }
    guard version > .zero else {
      return AuditPoint(version: .zero, position: .zero, time: nil)
    }
    let position = try position(of: version)
    return AuditPoint(
      version: version, position: position, time: try header(at: position).time)
  }

  /// The position of the entry that made `version`, which the log has.
  func position(of version: CatalogVersion) throws(AuditError) -> LogPosition {
    try reading { () throws(StoreError) in
      guard let position = try log.position(of: version) else {
        throw .damaged(
          try log.lastPosition(),
          .index("the index of versions does not lead to version \(version)"))
      }
      return position
    }
  }

  /// What an entry says of itself, which the log has.
  func header(at position: LogPosition) throws(AuditError) -> LogEntryHeader {
    try reading { () throws(StoreError) in
      let header = try log.environment.read { transaction throws(StoreError) in
        try transaction.value(of: position.rawValue, in: log.tables.entries) {
          (bytes) throws(StoreError) in try EventLog.header(bytes, at: position)
        }
      }
      guard let header else { throw .gap(expected: position, found: position.next) }
      return header
    }
  }

  /// The entry that made `version`; nil when it is no longer kept.
  package func stamp(of version: CatalogVersion) throws(AuditError) -> AuditStamp? {
    let position = try reading { () throws(StoreError) in try log.position(of: version) }
    guard let position else { return nil }
    return AuditStamp(try header(at: position))
  }

  func checkCancelled(after position: LogPosition) throws(AuditError) {
    if isCancelled?() ?? false { throw .store(.cancelled(after: position)) }
  }
}
