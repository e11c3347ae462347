import Catalog
import StateMachines

/// What a log was proven to hold.
package struct LogSummary: Hashable, Sendable {
  package var catalog: CatalogID
  /// The first entry and the last; the positions before and at the base when there are none.
  package var first: LogPosition
  package var last: LogPosition
  /// The hash of the last entry: who notes it can tell later that the record was only added to.
  package var headHash: EntryHash
  package var headTime: HybridTimestamp
  package var version: CatalogVersion
  package var digest: StateDigest
  package var entryCount: UInt64 = 0
  package var eventCount: UInt64 = 0
  /// The bytes of all entries.
  package var byteCount: UInt64 = 0
  package var routeCount = 0
}

/// Proves a whole log: the base, the hash chain, each entry's digest, the indexes of versions and of
/// commands, and that the routes at the end tile the keyspace.
///
/// The log may be written meanwhile; what is added after the start is not looked at.
package struct Verifier {
  package var onProgress: ((ReplayProgress) -> Void)?
  package var isCancelled: (() -> Bool)?

  private let log: EventLog

  /// `log` is best opened without proof of its end, so that this can say what is wrong.
  package init(_ log: EventLog) { self.log = log }

  /// - Throws: ``StoreError`` that names the first entry that is wrong, and what to do about it.
  package func verify() throws(StoreError) -> LogSummary {
    let last = try log.lastPosition()
    var state = try log.start()
    var summary = LogSummary(
      catalog: log.catalog, first: try log.firstPosition(), last: last, headHash: state.lastHash,
      headTime: state.lastTime, version: state.version, digest: state.digest)
    guard summary.first == state.appliedThrough.next else {
      throw .gap(expected: state.appliedThrough.next, found: summary.first)
    }
    var version = state.version
    var replayer = Replayer(log)
    replayer.onProgress = onProgress
    replayer.isCancelled = isCancelled
    do throws(StoreError) {
      try replayer.fold(onto: &state, through: last, decode: EventLog.decode) {
        (slice: [EncodedEntry]) throws(StoreError) in
        try log.checkIndexes(of: slice, after: version)
        version = slice.last?.entry.version ?? version
        for encoded in slice {
          summary.entryCount += 1
          summary.eventCount += UInt64(encoded.entry.events.count)
          summary.byteCount += UInt64(encoded.bytes.count)
        }
      }
    } catch {
      throw log.culprit(of: error)
    }
    try log.checkHead(of: state)
    try log.checkIndexCounts(entries: summary.entryCount, through: last)
    try checkRoutes(of: state)
    summary.headHash = state.lastHash
    summary.headTime = state.lastTime
    summary.version = state.version
    summary.digest = state.digest
    summary.routeCount = state.routes.count
    return summary
  }

  /// Builds the state again from its routes alone: they tile the keyspace and have its digest.
  private func checkRoutes(of state: CatalogState) throws(StoreError) {
    guard !state.routes.isEmpty else { return }
    do {
      _ = try CatalogState(
        restoring: state.header, routes: state.routes.routes(overlapping: .all))
    } catch {
      throw .unproven(state.appliedThrough, error)
    }
  }
}

extension EventLog {
  /// Of two entries that do not fit together, names the one that was changed where that can be told.
  fileprivate func culprit(of error: StoreError) -> StoreError {
    guard case .unproven(let position, .brokenChain) = error else { return error }
    let before = LogPosition(position.rawValue - 1)
    guard (try? entry(at: before)) != nil, let found = try? entry(at: position) else {
      return .damaged(position, .brokenChain)
    }
    // What follows vouches for the entry: then the one before it is not what it was.
    return .damaged(vouches(for: found.hash, at: position) ? before : position, .brokenChain)
  }

  /// That the indexes lead to these entries, which follow one another after `version`.
  fileprivate func checkIndexes(
    of entries: [EncodedEntry], after version: CatalogVersion
  ) throws(StoreError) {
    try environment.read { transaction throws(StoreError) in
      let last = try lastPosition(in: transaction).rawValue
      var version = version
      for encoded in entries {
        let entry = encoded.entry
        if entry.version != version {
          let position = try transaction.value(of: entry.version.rawValue, in: tables.versions) {
            UInt64(stored: $0)
          }
          guard position == entry.position.rawValue else {
            throw .damaged(
              entry.position, .index("the index of versions does not lead to it"))
          }
          version = entry.version
        }
        guard last - entry.position.rawValue < dedupeWindow else { continue }
        let row = try transaction.value(of: entry.position.rawValue, in: tables.commands) {
          CommandRow($0)
        }
        guard let row, let row, row.command == entry.command else {
          throw .damaged(entry.position, .index("the table of commands has another in its place"))
        }
      }
    }
  }

  /// That the indexes have no rows besides those of the entries. Not looked at when the log has
  /// grown since.
  fileprivate func checkIndexCounts(
    entries: UInt64, through last: LogPosition
  ) throws(StoreError) {
    try environment.read { transaction throws(StoreError) in
      guard try lastPosition(in: transaction) == last else { return }
      // A trim is on its way.
      guard try !hasTrimmedRows(in: transaction) else { return }
      guard try transaction.count(of: tables.versions) <= Int(entries) else {
        throw .damaged(last, .index("the index of versions has rows without entries"))
      }
      guard try transaction.count(of: tables.commands) <= Int(entries) else {
        throw .damaged(last, .index("the table of commands has rows without entries"))
      }
    }
  }
}
