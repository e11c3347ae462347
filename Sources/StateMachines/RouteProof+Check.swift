import Catalog

/// What a proof proved: the route that held a key at a version, if the log has this head.
package struct ProvenRoute: Hashable, Sendable {
  package var key: Key
  package var version: CatalogVersion
  /// The route as it was, with the version and the time of its last change by then.
  package var route: Route
  /// The head that the proof leads to.
  package var head: LogPosition
  package var headHash: EntryHash
  package var headTime: HybridTimestamp
  /// The catalog's version at the head.
  package var headVersion: CatalogVersion
}

extension RouteProof {
  /// Checks the proof against the hash of a log's entry that the caller trusts, and its position
  /// where that is known too. Needs no log, and takes nothing for granted but SHA-256 and that the
  /// log was kept by the rules, which verifying it shows.
  ///
  /// - Throws: ``ProofError``, which says what is wrong. No proof traps.
  /// - Complexity: O(*n*) in the size of the proof.
  package func check(
    head hash: EntryHash, at position: LogPosition? = nil
  ) throws(ProofError) -> ProvenRoute {
    let runs = try decodedRuns()
    guard let spine = runs.last, let head = spine.last else { throw .empty }
    guard head.hash == hash else {
      throw .otherHead(head.entry.position, expected: hash, found: head.hash)
    }
    if let position, head.entry.position != position {
      throw .otherPosition(expected: position, found: head.entry.position)
    }
    try checkRuns(before: spine, runs)
    let route = try provenRoute(runs)
    guard route.span.contains(key), route.version <= version else { throw .wrongRoutes }
    return ProvenRoute(
      key: key, version: version, route: route, head: head.entry.position, headHash: hash,
      headTime: head.entry.time, headVersion: head.entry.version)
  }

  /// Checks a proof's bytes; see ``check(head:at:)``.
  package static func check(
    _ bytes: [UInt8], head: EntryHash, at position: LogPosition? = nil
  ) throws(ProofError) -> ProvenRoute {
    let proof: RouteProof
    do {
      proof = try RouteProof(decoding: bytes)
    } catch {
      throw .unreadable(error)
    }
    return try proof.check(head: head, at: position)
  }

  /// The entries, each of which follows the one before it in its run.
  private func decodedRuns() throws(ProofError) -> [[EncodedEntry]] {
    var result: [[EncodedEntry]] = []
    var last = LogPosition.zero
    for (number, run) in runs.enumerated() {
      var entries: [EncodedEntry] = []
      for (index, bytes) in run.entries.enumerated() {
        let encoded: EncodedEntry
        do {
          encoded = try EncodedEntry(decoding: bytes)
        } catch {
          throw .badEntry(run: number, index: index, error)
        }
        let position = encoded.entry.position
        guard position > .zero, position <= .last else { throw .runsOutOfOrder(position) }
        if let before = entries.last {
          guard position == before.entry.position.next, encoded.entry.previous == before.hash
          else { throw .brokenRun(position) }
        } else {
          // Runs that touch would be one.
          guard number == 0 || position > last.next else { throw .runsOutOfOrder(position) }
        }
        entries.append(encoded)
        last = position
      }
      guard !entries.isEmpty else { throw .empty }
      result.append(entries)
    }
    return result
  }

  /// That the runs before the last are in the log that ends with it.
  private func checkRuns(
    before spine: [EncodedEntry], _ decoded: [[EncodedEntry]]
  ) throws(ProofError) {
    guard runs.last?.path.isEmpty ?? true else { throw .runsOutOfOrder(spine[0].entry.position) }
    let commitment = spine.lazy.compactMap(\.entry.firstCommitment).first
    for (run, entries) in zip(runs, decoded).dropLast() {
      guard let last = entries.last else { throw .empty }
      let position = last.entry.position
      guard let commitment, position <= commitment.position,
        commitment.position < (spine.last?.entry.position ?? .zero)
      else { throw .nothingVouches(for: position) }
      let root = LogInclusion.root(
        of: last.hash, at: position, count: commitment.position.rawValue, path: run.path)
      guard root == commitment.logRoot else { throw .notInLog(position) }
    }
  }

  /// The route that held the key.
  private func provenRoute(_ runs: [[EncodedEntry]]) throws(ProofError) -> Route {
    let entries = runs.joined()
    var start = (position: LogPosition.zero, version: CatalogVersion.zero)
    if anchor > .zero {
      guard let entry = entries.first(where: { $0.entry.position == anchor })?.entry,
        let commitment = entry.firstCommitment, commitment.position < anchor
      else { throw .noAnchor(anchor) }
      try checkRoutes(commitment)
      guard commitment.version < version else { return try unchangedRoute() }
      start = (commitment.position, commitment.version)
    } else if !routes.isEmpty {
      throw .wrongRoutes
    }
    return try folded(onto: start, entries: entriesFolded(after: start, runs))
  }

  /// That the routes are those of the commitment.
  private func checkRoutes(_ commitment: CatalogCommitment) throws(ProofError) {
    var last = RouteID(0)
    for committed in routes {
      let id = committed.route.id
      guard id > last else { throw .wrongRoutes }
      last = id
      let root = RouteCommitmentTree.root(
        of: RouteCommitmentTree.leaf(committed.route), at: id, path: committed.path)
      guard root == commitment.routesRoot else { throw .notCommitted(id) }
    }
  }

  /// The one route, which has not changed from the version to the anchor.
  private func unchangedRoute() throws(ProofError) -> Route {
    guard routes.count == 1, let route = routes.first?.route, route.span.contains(key) else {
      throw .wrongRoutes
    }
    guard route.version <= version else { throw .changedLater(route.id, at: route.version) }
    return route
  }

  /// The entries after the anchor, up to the one that made the version.
  private func entriesFolded(
    after start: (position: LogPosition, version: CatalogVersion), _ runs: [[EncodedEntry]]
  ) throws(ProofError) -> [LogEntry] {
    let first = start.position.next
    var result: [LogEntry] = []
    var version = start.version
    let run = runs.first { run in
      (run.first?.entry.position).map { $0 <= first } ?? false
        && (run.last?.entry.position).map { $0 >= first } ?? false
    }
    for encoded in run ?? [] where encoded.entry.position >= first {
      let entry = encoded.entry
      // The last version there is has no next one.
      guard
        entry.version == version
          || (entry.changesRoutes && entry.version.rawValue == version.rawValue &+ 1)
      else { throw .brokenRun(entry.position) }
      version = entry.version
      result.append(entry)
      if version == self.version { return result }
    }
    throw .entriesMissing(result.last?.position.next ?? first)
  }

  /// Follows the key's route through the entries.
  private func folded(
    onto start: (position: LogPosition, version: CatalogVersion), entries: [LogEntry]
  ) throws(ProofError) -> Route {
    let holders = routes.lazy.map(\.route).filter { $0.span.contains(key) }.map(\.id)
    // Whoever begins without routes has none to show.
    guard start.version > .zero ? holders.count == 1 : routes.isEmpty else { throw .wrongRoutes }
    var tracker = RouteTracker(.keys([key]), from: holders)
    for entry in entries {
      for event in entry.events { tracker.follow(event) }
    }
    guard !tracker.candidates.isEmpty else { throw .noRoute }
    let plan = RoutePlan(to: tracker.candidates, through: entries)
    guard plan.needed == Set(routes.lazy.map(\.route.id)) else { throw .wrongRoutes }
    let folded: [Route]
    do {
      folded = try plan.fold(onto: routes.map(\.route))
    } catch {
      throw .doesNotFold(error)
    }
    guard let route = folded.first(where: { $0.span.contains(key) }) else { throw .noRoute }
    return route
  }
}

extension LogEntry {
  /// The first commitment among the events.
  package var firstCommitment: CatalogCommitment? {
    for case .catalogCommitted(let commitment) in events { return commitment }
    return nil
  }
}
