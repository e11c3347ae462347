import Catalog
import GRPCCore
import Synchronization

/// Thrown to end a watch for one at home.
private struct HomeIsBack: Error {}

extension CatalogClient {
  /// Watches one node after the other, for ever.
  func keepWatching() async throws {
    switch options.watching {
    case .all: try await keepWatching(WatchBox(WatchedRoutes()))
    case .span, .group: try await keepWatching(WatchBox(FilteredRoutes(options.watching)))
    }
  }

  private func keepWatching(_ box: WatchBox<some RoutesInStep>) async throws {
    var backoff = Backoff(
      first: options.retry.firstPause, maximum: options.retry.maximumPause)
    while true {
      try Task.checkCancellation()
      let now = options.clock.now()
      let index = state.withLock { state in
        state.choice.next(at: now, using: &state.generator)
      }
      if let index {
        do {
          if try await watch(index, box) { backoff.reset() }
          // Else it ended before it told anything.
        } catch is HomeIsBack {
          backoff.reset()
          continue
        }
      }
      let pause = state.withLock { state in backoff.next(using: &state.generator) }
      try await options.clock.sleep(pause)
    }
  }

  /// Watches a node until it fails.
  ///
  /// - Returns: Whether it told anything.
  private func watch(_ index: Int, _ box: WatchBox<some RoutesInStep>) async throws -> Bool {
    box.pulse.store(0, ordering: .relaxed)
    var failure: (any Error)?
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await self.follow(index, box) }
        group.addTask {
          while true {
            let before = box.pulse.load(ordering: .relaxed)
            try await self.options.clock.sleep(self.options.silenceLimit)
            guard box.pulse.load(ordering: .relaxed) != before else {
              throw NodeError(
                .unavailable, "\(self.endpoints[index].address) said nothing for a while")
            }
          }
        }
        group.addTask { try await self.waitForHome(insteadOf: index) }
        defer { group.cancelAll() }
        _ = try await group.next()
      }
    } catch {
      failure = error
    }
    state.withLock { state in
      state.watched = nil
      if let failure, !(failure is HomeIsBack) { state.lastError = "\(failure)" }
    }
    try Task.checkCancellation()
    if let failure, failure is HomeIsBack { throw HomeIsBack() }
    let now = options.clock.now()
    state.withLock { state in
      // One that is there and has not come so far is no broken one, but another is asked first.
      state.choice.failed(index, at: now)
    }
    return box.pulse.load(ordering: .relaxed) > 0
  }

  private func follow(_ index: Int, _ box: WatchBox<some RoutesInStep>) async throws {
    let from = box.routes.withLock { routes in
      routes.disconnected()
      return routes.resumption
    }
    // What a filter leaves out is told of by the node's progress alone: how old what is here may be
    // hangs on that.
    let progress =
      watchesAll
      ? options.silenceLimit / 3 : min(options.silenceLimit / 3, options.probeInterval)
    try await nodes[index].watch(
      from: from, filter: options.watching, progress: progress
    ) { event in
      if box.pulse.add(1, ordering: .relaxed).oldValue == 0 { self.began(index) }
      let news: (snapshot: CatalogSnapshot?, resets: UInt64)? = try box.routes.withLock { routes in
        guard try routes.take(event) else { return nil }
        return (routes.current, routes.resets)
      }
      if let news, let snapshot = news.snapshot { self.show(snapshot, news.resets) }
    }
  }

  private func began(_ index: Int) {
    state.withLock { state in
      state.choice.succeeded(index)
      (state.watched, state.lastError) = (index, "")
    }
  }

  private func show(_ snapshot: CatalogSnapshot, _ resets: UInt64) {
    if let table = snapshot.table {
      published.publish(table)
    } else {
      // What was there is let go of outside the lock: that may free much.
      let old = filtered.withLock { current in
        defer { current = snapshot }
        return current
      }
      withExtendedLifetime(old) {}
    }
    state.withLock { state in
      state.freshness.reached(snapshot.version)
      state.resets = resets
    }
    options.onUpdate(snapshot)
  }

  /// Returns never where `index` is at home; throws once a node at home answers.
  private func waitForHome(insteadOf index: Int) async throws {
    while true {
      try await options.clock.sleep(options.probeInterval)
      let now = options.clock.now()
      let home: Int? = state.withLock { state in
        state.choice.isHome(index)
          ? nil : state.choice.next(at: now, onlyHome: true, using: &state.generator)
      }
      guard let home else { continue }
      let demand = ReadDemand(minimumVersion: version ?? .zero)
      do {
        _ = try await nodes[home].status(demand: demand, deadline: options.retry.attemptTimeout)
      } catch {
        let failed = options.clock.now()
        state.withLock { $0.choice.failed(home, at: failed) }
        continue
      }
      state.withLock { $0.choice.succeeded(home) }
      throw HomeIsBack()
    }
  }

  /// Asks the watched node how far it has come, again and again.
  func keepProbing() async throws {
    while true {
      let asked = options.clock.now()
      if let index = state.withLock({ $0.watched }),
        let status = try? await nodes[index].status(deadline: options.retry.attemptTimeout)
      {
        let version = version ?? .zero
        let leader =
          status.role == .leader
          ? index : endpoints.firstIndex { "\($0.address)" == status.leaderAddress }
        state.withLock { state in
          state.freshness.heard(status.stamp, asked: asked, has: version)
          state.leader = leader
        }
      }
      // Soon after the start, so that a demand can be met from here early.
      try await options.clock.sleep(
        staleness == nil ? min(options.probeInterval, .milliseconds(20)) : options.probeInterval)
    }
  }
}

/// What the tasks of a watch share.
private final class WatchBox<Routes: RoutesInStep>: Sendable {
  let routes: Mutex<Routes>
  /// How many events came in this watch.
  let pulse = Atomic<UInt64>(0)

  init(_ routes: Routes) { self.routes = Mutex(routes) }
}
