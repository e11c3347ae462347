import Catalog
import GRPCCore
import Synchronization

/// Thrown to end a watch for one at home.
private struct HomeIsBack: Error {}

extension CatalogClient {
  /// Watches one node after the other, for ever.
  func keepWatching() async throws {
    let box = WatchBox()
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
  private func watch(_ index: Int, _ box: WatchBox) async throws -> Bool {
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

  private func follow(_ index: Int, _ box: WatchBox) async throws {
    let from = box.routes.withLock { routes in
      routes.disconnected()
      return routes.resumption
    }
    try await nodes[index].watch(from: from, progress: options.silenceLimit / 3) { event in
      if box.pulse.add(1, ordering: .relaxed).oldValue == 0 { self.began(index) }
      let news: (table: RouteTable?, resets: UInt64)? = try box.routes.withLock { routes in
        guard try routes.take(event) else { return nil }
        return (routes.proven, routes.resets)
      }
      if let news, let table = news.table { self.show(table, news.resets) }
    }
  }

  private func began(_ index: Int) {
    state.withLock { state in
      state.choice.succeeded(index)
      (state.watched, state.lastError) = (index, "")
    }
  }

  private func show(_ table: RouteTable, _ resets: UInt64) {
    published.publish(table)
    state.withLock { state in
      state.freshness.reached(table.version)
      state.resets = resets
    }
    options.onUpdate(CatalogSnapshot(table))
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
private final class WatchBox: Sendable {
  let routes = Mutex(WatchedRoutes())
  /// How many events came in this watch.
  let pulse = Atomic<UInt64>(0)
}
