import CadastreClient
import Catalog
import Logging
import Replay
import StateMachines
import Synchronization

extension SharedRegion {
  /// Follows the shared stream whenever this node does not lead.
  func follow(_ shared: any SharedStream) async {
    var backoff = Backoff(first: following.firstPause, maximum: following.maximumPause)
    var generator = SystemRandomNumberGenerator()
    while await untilLeading(false) {
      let before = store.current.appliedThrough
      let failure: any Error
      do {
        try await followStream(shared)
        continue
      } catch {
        failure = error
      }
      // Who begins to lead, or ceases to, takes nothing from the stream.
      if isOver || !store.isMirror {
        guard await sleep(.milliseconds(20)) else { return }
        continue
      }
      stream.bond.withLock { bond in
        bond.isConnected = false
        bond.lastError = failure.problem
        bond.reconnects += 1
      }
      if store.current.appliedThrough > before { backoff.reset() }
      let pause = await recover(from: failure, shared) ?? backoff.next(using: &generator)
      guard await sleep(pause) else { return }
    }
  }

  private func followStream(_ shared: any SharedStream) async throws {
    _ = try await unless(core.changes) { [self] in
      try await withThrowingTaskGroup(of: Void.self) { group in
        defer { group.cancelAll() }
        group.addTask { [self] in
          if let condition = store.condition { throw FollowFailure.logNotWhole(condition) }
          try await shared.follow(after: store.current.appliedThrough) { try await self.take($0) }
        }
        group.addTask { _ = await self.untilLeading(true) }
        try await group.next()
      }
    }
  }

  private func take(_ append: SharedAppend) async throws {
    if !append.entries.isEmpty {
      do {
        try await store.replicate(append.entries)
      } catch {
        throw FollowFailure.store(error)
      }
    }
    let stored = store.current.appliedThrough
    stream.bond.withLock { bond in
      bond.isConnected = true
      bond.freshness.stored(stored)
      if stored >= append.tail.position { bond.lastError = "" }
    }
  }

  /// Does what can be done about an end of following, and says how long to wait at least; nil: as after
  /// any broken connection.
  private func recover(
    from failure: any Error, _ shared: any SharedStream
  ) async -> Duration? {
    if case SharedStreamError.trimmed = failure {
      do {
        try await catchUp(shared)
        return .zero
      } catch {
        note(.warning, "could not take what the shared stream no longer has from its leader", error)
        return nil
      }
    }
    switch (failure as? FollowFailure)?.remedy {
    case .halt, .diverged:
      note(.error, "cannot follow the shared stream of a region", failure)
      return following.haltedPause
    case .reconnect, .installState, nil:
      note(.info, "lost the shared stream of a region: following again", failure)
      return nil
    }
  }

  /// Takes what the stream no longer has from whoever leads it, as a mirror does.
  private func catchUp(_ shared: any SharedStream) async throws {
    let position = try await shared.trimmedThrough()
    let mirror = RegionMirror(
      stream: stream, core: core, directory: regions.directory, options: following)
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await mirror.run() }
      group.addTask { [self] in
        while store.current.appliedThrough < position, await sleep(.milliseconds(50)) {}
      }
      await group.next()
      group.cancelAll()
    }
  }

  /// Asks again and again where the shared stream ends: once that is stored here, this node was up to date
  /// when it asked.
  func probe(_ shared: any SharedStream) async {
    repeat {
      guard stream.leader == nil else { continue }
      let state = store.current
      let now = core.clock.now().sinceStart
      let number = stream.bond.withLock { $0.freshness.probe(at: now) }
      guard let tail = try? await shared.tail() else { continue }
      let isSame = state.appliedThrough == tail.position && state.lastHash == tail.hash
      guard state.appliedThrough < tail.position || isSame else {
        stream.bond.withLock { bond in
          bond.freshness.forget()
          bond.lastError =
            "the stream here ends with another entry \(state.appliedThrough) than the shared one, "
            + "which ends with entry \(tail.position)"
        }
        continue
      }
      let stored = store.current.appliedThrough
      stream.bond.withLock { bond in
        bond.freshness.heard(
          FollowMessage.Heartbeat(
            position: tail.position, version: .zero, probe: number, staleness: .zero),
          stored: stored)
      }
    } while await sleep(following.probeInterval)
  }
}
