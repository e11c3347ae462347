import Catalog
import StateMachines

/// Proves a whole log: the base, the hash chain, each entry's digest, the indexes of versions and of
/// commands, and that the routes at the end tile the keyspace; the checkpoints beside it, each in
/// full and against the log; what the log commits to, and who signed that it was trimmed.
///
/// The log may be written meanwhile; what is added after the start is not looked at.
package struct Verifier {
  package var onProgress: ((ReplayProgress) -> Void)?
  package var isCancelled: (() -> Bool)?
  /// How many parts of the log are folded at the same time, where checkpoints part it. Each takes
  /// the memory of a state.
  package var partCount = 2
  /// A part that has fewer entries is not worth loading a state for.
  var minimumPartCount: UInt64 = 4096

  private let log: EventLog
  private let checkpoints: CheckpointStore?

  /// `log` is best opened without proof of its end, so that this can say what is wrong.
  package init(_ log: EventLog, checkpoints: CheckpointStore? = nil) {
    self.log = log
    self.checkpoints = checkpoints
  }

  /// - Throws: ``StoreError`` that names the first entry that is wrong, and what to do about it.
  package func verify() throws(StoreError) -> LogSummary {
    let last = try log.lastPosition()
    let state = try log.start()
    var summary = LogSummary(
      catalog: log.catalog, first: try log.firstPosition(), last: last, headHash: state.lastHash,
      headTime: state.lastTime, version: state.version, digest: state.digest)
    guard summary.first == state.appliedThrough.next else {
      throw .gap(expected: state.appliedThrough.next, found: summary.first)
    }
    let parts = try parts(after: state, through: last)
    // First of all the chain and the digests, which all else rests on; notes are read meanwhile.
    let progress = VerifyProgress(
      parts: parts, total: last.rawValue - state.appliedThrough.rawValue)
    let survey = try survey(after: state, through: last)
    let outcomes = try fold(parts, survey, progress)
    for outcome in outcomes {
      summary.entryCount += outcome.entryCount
      summary.eventCount += outcome.eventCount
      summary.byteCount += outcome.byteCount
      summary.commitmentCount += outcome.commitmentCount
    }
    if case .failure(let error) = survey { throw error }
    if case .success(let survey) = survey {
      summary.uncheckedCommitmentCount = survey.unchecked
      summary.markers = survey.markers.map(\.marker)
    }
    guard let end = outcomes.last?.end else { return summary }
    try log.checkHead(of: end)
    try log.checkIndexCounts(entries: summary.entryCount, through: last)
    try log.checkRememberedCommands()
    summary.headHash = end.lastHash
    summary.headTime = end.lastTime
    summary.version = end.version
    summary.digest = end.digest
    summary.routeCount = end.routes.count
    if let checkpoints {
      (summary.checkpointCount, summary.foreignCheckpointCount) = try checkpoints.proveAll(
        against: log, isCancelled: isCancelled ?? { false })
    }
    return summary
  }

  /// What the log says of itself. A log whose entries cannot be read says so when it is folded, and
  /// names them better.
  private func survey(
    after state: CatalogState, through last: LogPosition
  ) throws(StoreError) -> Result<NoteSurvey, StoreError> {
    let position = state.appliedThrough
    let kept = try? checkpoints?.commitments().first { $0.frontier.position == position }
    let start = CommitmentStart(
      position: position, version: state.version,
      frontier: position == .zero ? LogFrontier() : kept?.frontier)
    do throws(StoreError) {
      return .success(
        try NoteSurvey(log, after: start, through: last, isCancelled: isCancelled ?? { false }))
    } catch {
      if case .cancelled = error { throw error }
      return .failure(error)
    }
  }

  /// Cuts the log at checkpoints into parts of about the same number of entries.
  private func parts(
    after state: CatalogState, through last: LogPosition
  ) throws(StoreError) -> [VerifyPart] {
    var cuts: [CheckpointRoot] = []
    let count = last.rawValue - state.appliedThrough.rawValue
    if let checkpoints, partCount > 1, count >= UInt64(partCount) * minimumPartCount {
      let roots = try checkpoints.roots().filter {
        $0.position > state.appliedThrough && $0.position < last
      }
      for number in 1..<UInt64(partCount) {
        let ideal = state.appliedThrough.rawValue + count * number / UInt64(partCount)
        let root = roots.last { $0.position.rawValue <= ideal }
        guard let root, root.position > cuts.last?.position ?? .zero,
          case .same = try log.agreement(with: root)
        else { continue }
        cuts.append(root)
      }
    }
    var parts = [VerifyPart(start: .state(state), end: last, mustLeadTo: nil)]
    for root in cuts {
      parts[parts.count - 1].end = root.position
      parts[parts.count - 1].mustLeadTo = root.header
      parts.append(VerifyPart(start: .root(root), end: last, mustLeadTo: nil))
    }
    return parts
  }

  private func fold(
    _ parts: [VerifyPart], _ survey: Result<NoteSurvey, StoreError>, _ progress: VerifyProgress
  ) throws(StoreError) -> [VerifyPart.Outcome] {
    let commitments = (try? survey.get())?.commitments ?? []
    let (log, checkpoints) = (log, checkpoints)
    var threads: [WorkerThread] = []
    defer { for thread in threads { thread.join() } }
    for (index, part) in parts.enumerated() {
      threads.append(
        try WorkerThread(name: "verify") {
          let outcome: Result<VerifyPart.Outcome, StoreError>
          do throws(StoreError) {
            outcome = .success(
              try part.fold(log, checkpoints, commitments, progress, index: index))
          } catch {
            outcome = .failure(log.culprit(of: error))
          }
          progress.finish(index, outcome)
        })
    }
    while !progress.wait() {
      onProgress?(progress.sum)
      if isCancelled?() ?? false { progress.cancel(from: 0) }
    }
    onProgress?(progress.sum)
    // The first that is wrong; those behind it were told to stop.
    var outcomes: [VerifyPart.Outcome] = []
    for result in progress.results {
      guard let result else { preconditionFailure("all parts have ended") }
      outcomes.append(try result.get())
    }
    return outcomes
  }
}

extension EventLog {
  /// Of two entries that do not fit together, names the one that was changed where that can be told.
  func culprit(of error: StoreError) -> StoreError {
    guard case .unproven(let position, .brokenChain) = error else { return error }
    let before = LogPosition(position.rawValue - 1)
    guard (try? entry(at: before)) != nil, let found = try? entry(at: position) else {
      return .damaged(position, .brokenChain)
    }
    // What follows vouches for the entry: then the one before it is not what it was.
    return .damaged(vouches(for: found.hash, at: position) ? before : position, .brokenChain)
  }

  /// That the indexes lead to these entries, which follow one another after `version`.
  func checkIndexes(
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
  func checkIndexCounts(
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

  /// That what is remembered of commands whose entries are gone is whole, and without a hole up to the
  /// log's beginning. Nothing vouches for what it says.
  func checkRememberedCommands() throws(StoreError) {
    guard let table = tables.remembered else { return }
    try environment.read { transaction throws(StoreError) in
      // A trim is on its way: the rest is still beside its entries.
      guard try !hasTrimmedRows(in: transaction) else { return }
      let base = try baseHeader(in: transaction)
      var before: CommandRecord?
      try transaction.scan(table, from: 0) { (key, bytes) throws(StoreError) in
        let position = try EventLog.position(key, expected: before?.position.next ?? LogPosition(1))
        let record = try EventLog.record(bytes, at: position)
        guard let base, position <= base.position, record.version <= base.version else {
          throw .damaged(
            position, .index("a command is remembered that is not from before the log"))
        }
        if let before {
          guard position == before.position.next, record.version >= before.version else {
            throw .damaged(before.position.next, .index("its command is not remembered"))
          }
        }
        before = record
        return true
      }
      if let before, let base, before.position != base.position {
        throw .damaged(before.position.next, .index("its command is not remembered"))
      }
    }
  }
}
