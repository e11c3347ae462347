import Catalog
import StateMachines
import Synchronization

extension CatalogClient {
  /// The route that holds `key`, from here where what is here meets the demand, else asked of a node.
  ///
  /// When a server turns a request down because its sender's routes are old, demand the version that it
  /// names. `deadline` is how long it may take in all.
  ///
  /// A client that watches a group asks a node about the keys of others; one that watches a span asks
  /// nobody about keys outside of it, as whoever gave it the span does not expect those.
  ///
  /// - Throws: ``CatalogClientError``.
  public func resolve(
    _ key: Key, _ demand: ReadDemand = .none, deadline: Duration? = nil
  ) async throws(CatalogClientError) -> Answer<Route> {
    try checkWatched([key])
    let demand = meant(demand)
    if let answer = resolveHere(key, demand) { return answer }
    return try await call(deadline) { (node, timeout) async throws(NodeError) in
      try await node.resolve(key, demand: demand, deadline: timeout)
    }
  }

  /// The routes that hold `keys`, in their order, all at one version; see
  /// ``resolve(_:_:deadline:)``.
  public func resolve(
    _ keys: [Key], _ demand: ReadDemand = .none, deadline: Duration? = nil
  ) async throws(CatalogClientError) -> Answer<[Route]> {
    try checkWatched(keys)
    let demand = meant(demand)
    if let stamp = stampHere(demand), let snapshot, snapshot.version >= stamp.version {
      let routes = keys.compactMap { snapshot.route(containing: $0) }
      var stamp = stamp
      stamp.version = snapshot.version
      if routes.count == keys.count { return Answer(routes, stamp) }
    }
    return try await call(deadline) { (node, timeout) async throws(NodeError) in
      try await node.resolve(keys, demand: demand, deadline: timeout)
    }
  }

  /// Has a command carried out, once, however often it has to be sent. What failed as
  /// ``CatalogClientError/Kind/unavailable`` may have happened all the same: submit the same command again.
  ///
  /// - Throws: ``CatalogClientError``.
  public func submit(
    _ command: CatalogCommand, deadline: Duration? = nil
  ) async throws(CatalogClientError) -> CommandReceipt {
    let (value, leader) = (command.command, state.withLock { $0.leader })
    do {
      let receipt = try await call(deadline, preferred: leader) {
        (node, timeout) async throws(NodeError) in
        try await node.submit(value, deadline: timeout)
      }
      raiseFloor(to: receipt.version)
      return receipt
    } catch {
      // The routes that it was decided on are old: reads from here would show them again.
      if let version = error.catalogVersion, error.kind == .staleVersion { raiseFloor(to: version) }
      throw error
    }
  }

  /// Refuses keys outside of the span that is watched.
  private func checkWatched(_ keys: [Key]) throws(CatalogClientError) {
    guard case .span(let span) = options.watching,
      let key = keys.first(where: { !span.contains($0) })
    else { return }
    throw CatalogClientError(
      .outsideSpan, reason: "outside_span",
      "the key \"\(key)\" is not in \(span), which is all that this client watches",
      remedy: "ask a client that watches a span with the key in it, or all routes")
  }

  private func raiseFloor(to version: CatalogVersion) {
    state.withLock { $0.floor = max($0.floor, version) }
  }

  private func meant(_ demand: ReadDemand) -> ReadDemand {
    guard options.readsItsWrites else { return demand }
    var demand = demand
    demand.minimumVersion = max(demand.minimumVersion, state.withLock { $0.floor })
    return demand
  }

  /// The stamp of an answer from here; nil where that would not meet the demand.
  private func stampHere(_ demand: ReadDemand) -> ReadStamp? {
    // In this order: what is true of the freshness now is true of every table shown later.
    let staleness = staleness
    guard let version, version >= demand.minimumVersion else { return nil }
    if let maximum = demand.maximumStaleness {
      guard let staleness, staleness <= maximum else { return nil }
    }
    return ReadStamp(
      version: version, servedAtMilliseconds: options.clock.wallMilliseconds(),
      staleness: staleness)
  }

  private func resolveHere(_ key: Key, _ demand: ReadDemand) -> Answer<Route>? {
    guard var stamp = stampHere(demand), let snapshot, snapshot.version >= stamp.version,
      let route = snapshot.route(containing: key)
    else { return nil }
    stamp.version = snapshot.version
    return Answer(route, stamp)
  }

  /// Makes a call at one node after the other until it succeeds, fails for good, or takes too long.
  private func call<Result: Sendable>(
    _ deadline: Duration?, preferred: Int? = nil,
    _ body: (NodeClient, _ timeout: Duration) async throws(NodeError) -> Result
  ) async throws(CatalogClientError) -> Result {
    let end = options.clock.now() + (deadline ?? options.retry.deadline)
    var backoff = Backoff(first: options.retry.firstPause, maximum: options.retry.maximumPause)
    var tried: Set<Int> = []
    var last: NodeError?
    var denial: NodeError?
    func failure(_ why: String) -> CatalogClientError {
      var error = last.map(CatalogClientError.init) ?? CatalogClientError(.unavailable, why)
      if last != nil { error.description = "\(why): \(error.description)" }
      error.kind = .unavailable
      return error
    }
    while true {
      guard !Task.isCancelled else {
        throw CatalogClientError(.cancelled, "the call was cancelled")
      }
      let now = options.clock.now()
      guard now < end else { throw failure("no node answered in time") }
      let index = state.withLock { state in
        state.choice.next(
          at: now, tried: tried, preferred: preferred, using: &state.generator)
      }
      guard let index else {
        // Who has been turned away, and finds nobody else, hears why at once.
        if let denial { throw CatalogClientError(denial) }
        tried = []
        let pause = state.withLock { backoff.next(using: &$0.generator) }
        try? await options.clock.sleep(min(pause, end - now))
        continue
      }
      do {
        let result = try await body(nodes[index], min(end - now, options.retry.attemptTimeout))
        state.withLock { state in
          state.choice.succeeded(index)
          state.budget.earn()
        }
        return result
      } catch {
        let (kind, failed) = (FailureKind(error), options.clock.now())
        state.withLock { state in
          if kind == .broken {
            state.choice.failed(index, at: failed)
          } else {
            state.choice.succeeded(index)
          }
        }
        guard kind != .final else { throw CatalogClientError(error) }
        if kind == .denied { denial = error }
        last = error
        tried.insert(index)
        guard state.withLock({ $0.budget.spend() }) else {
          throw failure("too many calls fail to try this one again")
        }
      }
    }
  }
}
