import CadastreClient
import Catalog
import GRPCCore
import Logging
import NIOPosix
import Replay
import StateMachines

/// Makes the log of a learner that has none: asks the leader which catalog it serves, and takes over
/// its state where the log no longer begins with the first entry.
struct LearnerJoin: Sendable {
  let upstreams: Upstreams
  let folder: String
  let options: FollowOptions
  let logger: Logger

  /// Tries until there is a log.
  ///
  /// - Returns: false when `stop` was closed first.
  /// - Throws: ``StoreError`` when the folder cannot hold a log.
  func run(until stop: WakeHub) async throws -> Bool {
    let folder = folder
    let exists = try await NIOThreadPool.singleton.runIfActive {
      do {
        // A log whose end is damaged is one all the same: what is proven of it is served.
        _ = try EventLog.open(folder: folder, mode: .readOnly, provesEnd: false)
        return true
      } catch StoreError.noLog {
        return false
      }
    }
    if exists { return true }
    var backoff = Backoff(first: options.firstPause, maximum: options.maximumPause)
    var generator = SystemRandomNumberGenerator()
    while true {
      let failure: NodeError
      let upstream = await upstreams.current()
      do {
        return try await unless(stop) { try await join(upstream.link) }
      } catch let error as NodeError {
        failure = error
      } catch StoreError.checkpointDamaged(let version, let what) {
        // It was removed, and is asked for again.
        failure = NodeError(
          .dataLoss, "the leader's checkpoint of version \(version) is not whole: \(what)")
      }
      if stop.isClosed { return false }
      if upstreams.lost(upstream, "\(failure)") { continue }
      let pause = backoff.next(using: &generator)
      logger.warning(
        "the leader does not tell its catalog: trying again",
        metadata: [
          "leader": "\(upstream.link.address)", "error": "\(failure)", "pause": "\(pause)",
        ])
      guard try await unless(stop, { try await Task.sleep(for: pause) }) else { return false }
    }
  }

  private func join(_ leader: LeaderLink) async throws {
    let status = try await leader.client.status(deadline: options.silenceLimit)
    var fetched: (state: CatalogState, commands: CommandWindow)?
    if status.firstPosition > LogPosition(1) {
      let fetch = CheckpointFetch(
        leader: leader, folder: folder, options: options, logger: logger)
      fetched = try await fetch.state(of: status.catalog)
    }
    let (folder, catalog, base) = (folder, status.catalog, fetched)
    try await NIOThreadPool.singleton.runIfActive {
      let log = try EventLog.create(folder: folder, catalog: catalog)
      defer { log.releaseForWriting() }
      if let base { try log.install(base: base.state, commands: base.commands) }
      CheckpointIntake.remove(in: folder)
    }
    logger.info(
      "made a log for catalog \(catalog)",
      metadata: [
        "folder": "\(folder)", "catalog_version": "\(base?.state.version ?? .zero)",
        "position": "\(base?.state.appliedThrough ?? .zero)",
      ])
  }
}
