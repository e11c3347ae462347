import Catalog
import StateMachines

/// Makes proofs of what the route of a key was, from a log and its checkpoints, beside whoever
/// writes them. See ``RouteProof``.
///
/// Costs the state at one commitment and the hashes of the entries before the head's commitment.
package struct Prover {
  /// Told how far the replay to the commitment has come, where there is no checkpoint.
  package var onProgress: ((ReplayProgress) -> Void)?
  package var isCancelled: (() -> Bool)?

  private let log: EventLog
  private let checkpoints: CheckpointStore?

  package init(_ log: EventLog, checkpoints: CheckpointStore?) {
    self.log = log
    self.checkpoints = checkpoints
  }

  /// A proof of the route that held `key` at `version`, to be checked against the hash of the entry
  /// at `head`, or of the last one. It was checked when it is handed out.
  ///
  /// - Throws: ``ProverError``.
  package func prove(
    _ key: Key, at version: CatalogVersion, head: LogPosition? = nil
  ) throws(ProverError) -> (proof: RouteProof, proven: ProvenRoute) {
    let proof = try make(key, version, head)
    guard let last = proof.runs.last?.entries.last else { throw .doesNotHold(.empty) }
    do {
      let hash = last.withUnsafeBytes(EntryHash.init(of:))
      return (proof, try proof.check(head: hash, at: head))
    } catch {
      throw .doesNotHold(error)
    }
  }

  private func make(
    _ key: Key, _ version: CatalogVersion, _ head: LogPosition?
  ) throws(ProverError) -> RouteProof {
    let (first, head, made) = try ends(version, head)
    let later = try firstCommitment(after: made, through: head) { $0.version >= version }
    if let later {
      let table = try table(of: later.commitment)
      if let route = table.route(containing: key), route.version <= version {
        let routes = committed([route.id], table)
        return try proof(
          key, version, anchor: later.position, routes, [later.position...later.position], head)
      }
    }
    // The route was changed since, or nothing was committed to yet: from the commitment before.
    let earlier = try lastCommitment(before: later?.position ?? head.next, first: first) {
      $0.version < version
    }
    guard let earlier else {
      guard first == LogPosition(1) else { throw .noCommitment(version, first: first) }
      return try proof(key, version, anchor: .zero, [], [first...made], head)
    }
    let start = earlier.commitment.position.next
    guard start >= first else { throw .noCommitment(version, first: first) }
    let table = try table(of: earlier.commitment)
    var tracker = RouteTracker(
      .keys([key]), from: [table.route(containing: key)?.id].compactMap { $0 })
    let entries = try entries(start...made)
    for entry in entries { entry.entry.events.forEach { tracker.follow($0) } }
    let plan = RoutePlan(to: tracker.candidates, through: entries.map(\.entry))
    return try proof(
      key, version, anchor: earlier.position, committed(plan.needed.sorted(), table),
      [start...made, earlier.position...earlier.position], head)
  }

  /// The log's first entry, the head, and the entry that made the version.
  private func ends(
    _ version: CatalogVersion, _ head: LogPosition?
  ) throws(ProverError) -> (first: LogPosition, head: LogPosition, made: LogPosition) {
    let (first, last) = try reading { () throws(StoreError) in
      (try log.firstPosition(), try log.lastPosition())
    }
    let head = head ?? last
    guard head >= first, head <= last else {
      throw .headNotRetained(head, first: first, last: last)
    }
    guard version > .zero else { throw .noRoutes(version) }
    let made = try reading { () throws(StoreError) in try log.position(of: version) }
    guard let made else {
      let newest = try reading { () throws(StoreError) in try log.tail().version }
      guard version <= newest else { throw .versionInFuture(version, newest: newest) }
      throw .versionNotRetained(version, first: first)
    }
    guard made <= head else { throw .headBeforeVersion(head, version) }
    return (first, head, made)
  }

  private func reading<Value>(
    _ body: () throws(StoreError) -> Value
  ) throws(ProverError) -> Value {
    do {
      return try body()
    } catch {
      throw .store(error)
    }
  }
}

// MARK: What a proof is made of

extension Prover {
  private typealias Anchor = (position: LogPosition, commitment: CatalogCommitment)

  /// Puts the entries of `ranges`, and those that lead to the head, into runs.
  private func proof(
    _ key: Key, _ version: CatalogVersion, anchor: LogPosition,
    _ routes: [RouteProof.CommittedRoute], _ ranges: [ClosedRange<LogPosition>],
    _ head: LogPosition
  ) throws(ProverError) -> RouteProof {
    let first = try reading { () throws(StoreError) in try log.firstPosition() }
    let newest = try lastCommitment(before: head.next, first: first) { _ in true }
    var runs = Self.merged(ranges + [(newest?.position ?? head)...head])
    var tree: LogTree?
    while runs.count > 1 {
      // The first commitment of the last run has to vouch for the runs before it.
      let spine = runs[runs.count - 1]
      let vouching = try firstCommitment(
        after: LogPosition(spine.lowerBound.rawValue - 1), through: head
      ) { _ in true }
      let before = runs[runs.count - 2]
      guard let vouching, before.upperBound <= vouching.commitment.position,
        let made = try self.tree(vouching.commitment, for: runs[0].upperBound)
      else {
        runs = Self.merged(runs.dropLast() + [before.upperBound...head])
        continue
      }
      tree = made
      break
    }
    var result: [RouteProof.Run] = []
    for (index, run) in runs.enumerated() {
      let entries = try entries(run).map(\.bytes)
      let path = index + 1 < runs.count ? tree?.path(of: run.upperBound) : []
      guard let path else { throw .noCommitment(version, first: first) }
      result.append(RouteProof.Run(entries: entries, path: path))
    }
    return RouteProof(
      key: key, version: version, anchor: anchor, routes: routes, runs: result)
  }

  /// Ranges in order, those that touch as one.
  private static func merged(
    _ ranges: [ClosedRange<LogPosition>]
  ) -> [ClosedRange<LogPosition>] {
    var result: [ClosedRange<LogPosition>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = result.last, range.lowerBound <= last.upperBound.next {
        result[result.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        result.append(range)
      }
    }
    return result
  }

  /// The log's tree that a commitment is to, good for paths of entries from `position` on; nil when
  /// what came before the log's first entry is not known.
  private func tree(
    _ commitment: CatalogCommitment, for position: LogPosition
  ) throws(ProverError) -> LogTree? {
    try reading { () throws(StoreError) in
      let first = try log.firstPosition()
      // The shortest way: the newest frontier before the entry, of which the log has what follows.
      let kept = try checkpoints?.commitments().last {
        $0.frontier.position < position && $0.frontier.position.next >= first
      }
      guard let base = kept?.frontier ?? (first == LogPosition(1) ? LogFrontier() : nil) else {
        return nil
      }
      let tree = try LogTree(log, after: base, through: commitment.position)
      return tree.root == commitment.logRoot ? tree : nil
    }
  }

  /// The routes at a commitment: from the checkpoint that it was made with, or replayed.
  private func table(of commitment: CatalogCommitment) throws(ProverError) -> RouteTable {
    try reading { () throws(StoreError) in
      try log.state(
        at: commitment.version, checkpoints: checkpoints, onProgress: onProgress,
        isCancelled: isCancelled
      ).routes
    }
  }

  private func committed(
    _ ids: [RouteID], _ table: RouteTable
  ) -> [RouteProof.CommittedRoute] {
    let tree = RouteCommitmentTree(of: table)
    return ids.compactMap { id in
      table.route(id: id).map {
        RouteProof.CommittedRoute(route: $0, path: tree.path(of: id, in: table))
      }
    }
  }

  private func entries(
    _ range: ClosedRange<LogPosition>
  ) throws(ProverError) -> [EncodedEntry] {
    try reading { () throws(StoreError) in
      var entries: [EncodedEntry] = []
      var next = range.lowerBound
      while next <= range.upperBound {
        let count = range.upperBound.rawValue - next.rawValue + 1
        let slice = try log.entries(from: next, maxCount: Int(clamping: count))
        guard let last = slice.last else { throw .gap(expected: next, found: next.next) }
        entries += slice
        next = last.entry.position.next
      }
      return entries
    }
  }

  /// The first commitment after an entry that is such.
  private func firstCommitment(
    after start: LogPosition, through end: LogPosition,
    where isWanted: (CatalogCommitment) -> Bool
  ) throws(ProverError) -> Anchor? {
    var next = start.next
    while next <= end {
      let upper = LogPosition(min(end.rawValue, next.rawValue + 255))
      for encoded in try entries(next...upper) {
        if let commitment = encoded.entry.firstCommitment, isWanted(commitment) {
          return (encoded.entry.position, commitment)
        }
      }
      next = upper.next
    }
    return nil
  }

  /// The last commitment before an entry that is such.
  private func lastCommitment(
    before end: LogPosition, first: LogPosition, where isWanted: (CatalogCommitment) -> Bool
  ) throws(ProverError) -> Anchor? {
    var end = end
    while end > first {
      let lower = LogPosition(max(first.rawValue, end.rawValue - min(256, end.rawValue)))
      for encoded in try entries(lower...LogPosition(end.rawValue - 1)).reversed() {
        if let commitment = encoded.entry.firstCommitment, isWanted(commitment) {
          return (encoded.entry.position, commitment)
        }
      }
      end = lower
    }
    return nil
  }
}
