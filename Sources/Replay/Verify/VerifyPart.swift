import Catalog
import StateMachines

/// A part of a log that is folded by itself: from a state, or from a checkpoint, to where the next
/// part begins.
struct VerifyPart: Sendable {
  enum Start: Sendable {
    case state(CatalogState)
    case root(CheckpointRoot)
  }

  var start: Start
  var end: LogPosition
  /// The checkpoint that the next part begins with: what this one must have made.
  var mustLeadTo: StateHeader?

  struct Outcome: Sendable {
    var end: CatalogState
    var entryCount: UInt64 = 0
    var eventCount: UInt64 = 0
    var byteCount: UInt64 = 0
    var commitmentCount = 0
  }

  /// Folds the part, and compares the routes with what is committed to on the way.
  func fold(
    _ log: EventLog, _ checkpoints: CheckpointStore?, _ commitments: [NoteSurvey.Commitment],
    _ progress: VerifyProgress, index: Int
  ) throws(StoreError) -> Outcome {
    let first: CatalogState
    switch start {
    case .state(let state): first = state
    case .root(let root):
      guard let checkpoints else { preconditionFailure("a root is one of checkpoints") }
      first = try checkpoints.load(root)
    }
    var outcome = Outcome(end: first)
    var state = first
    var known: (table: RouteTable, tree: RouteCommitmentTree)?
    var version = state.version
    var replayer = Replayer(log)
    replayer.isCancelled = { progress.isCancelled(index) }
    func fold(through end: LogPosition) throws(StoreError) {
      try replayer.fold(onto: &state, through: end, decode: EventLog.decode) {
        (slice: [EncodedEntry]) throws(StoreError) in
        try log.checkIndexes(of: slice, after: version)
        version = slice.last?.entry.version ?? version
        var byteCount: UInt64 = 0
        for encoded in slice {
          outcome.entryCount += 1
          outcome.eventCount += UInt64(encoded.entry.events.count)
          byteCount += UInt64(encoded.bytes.count)
        }
        outcome.byteCount += byteCount
        progress.add(slice.count, Int(byteCount), slice.last?.entry.position)
      }
    }
    let begin = state.appliedThrough
    for commitment in commitments {
      let claim = commitment.claim
      guard claim.position <= end, claim.position > begin || begin == .zero || index == 0 else {
        continue
      }
      try fold(through: claim.position)
      var tree = known?.tree ?? RouteCommitmentTree(of: state.routes)
      if let known { tree.update(from: known.table, to: state.routes) }
      known = (state.routes, tree)
      guard claim.version == state.version, claim.routesRoot == tree.root else {
        throw .damaged(commitment.entry, .index("it commits to other routes than there were"))
      }
      outcome.commitmentCount += 1
    }
    try fold(through: end)
    if let mustLeadTo, state.header != mustLeadTo {
      throw .checkpointDamaged(mustLeadTo.version, "the log leads to another state there")
    }
    if mustLeadTo == nil { try checkRoutes(of: state) }
    outcome.end = state
    return outcome
  }

  /// Builds the state again from its routes alone: they tile the keyspace and have its digest.
  private func checkRoutes(of state: CatalogState) throws(StoreError) {
    guard !state.routes.isEmpty || !state.membership.isEmpty else { return }
    do {
      _ = try CatalogState(
        restoring: state.header, routes: state.routes.routes(overlapping: .all),
        membership: state.membership.bytes)
    } catch {
      throw .unproven(state.appliedThrough, error)
    }
  }
}

/// How far the parts have come, and what became of them.
final class VerifyProgress: Sendable {
  private struct Work {
    var sum: ReplayProgress
    var results: [Result<VerifyPart.Outcome, StoreError>?]
    /// Parts from this one on are to stop.
    var cancelledFrom: Int
  }

  private let work: Monitor<Work>

  init(parts: [VerifyPart], total: UInt64) {
    work = Monitor(
      Work(
        sum: ReplayProgress(entryCount: 0, entryTotal: total, byteCount: 0, position: .zero),
        results: Array(repeating: nil, count: parts.count), cancelledFrom: .max))
  }

  var sum: ReplayProgress { work.withLock { $0.sum } }
  var results: [Result<VerifyPart.Outcome, StoreError>?] { work.withLock { $0.results } }

  func add(_ entryCount: Int, _ byteCount: Int, _ position: LogPosition?) {
    work.withLock { work in
      work.sum.entryCount += UInt64(entryCount)
      work.sum.byteCount += byteCount
      work.sum.position = max(work.sum.position, position ?? .zero)
    }
  }

  func isCancelled(_ index: Int) -> Bool { work.withLock { $0.cancelledFrom <= index } }

  func cancel(from index: Int) {
    work.withLock { $0.cancelledFrom = min($0.cancelledFrom, index) }
  }

  func finish(_ index: Int, _ result: Result<VerifyPart.Outcome, StoreError>) {
    work.change { work in
      work.results[index] = result
      // What comes behind something wrong rests on it.
      if case .failure = result { work.cancelledFrom = min(work.cancelledFrom, index + 1) }
    }
  }

  /// Waits a while; true when all have ended.
  func wait() -> Bool {
    work.wait(atMost: .milliseconds(50)) { work in
      work.results.allSatisfy { $0 != nil } ? () : nil
    }
    return work.withLock { $0.results.allSatisfy { $0 != nil } }
  }
}
