import Catalog
import GRPCCore
import Logging
import NIOPosix
import Replay
import StateMachines

/// Makes the log of a learner that has none: asks the leader which catalog it serves, and takes over
/// its state where the log no longer begins with the first entry.
struct LearnerJoin: Sendable {
  let leader: NodeClient
  let folder: String
  let options: FollowOptions
  let logger: Logger

  /// Tries until there is a log.
  ///
  /// - Returns: false when `isStopped` said so first.
  /// - Throws: ``StoreError`` when the folder cannot hold a log.
  func run(until isStopped: @Sendable () -> Bool) async throws -> Bool {
    let folder = folder
    let exists = try await NIOThreadPool.singleton.runIfActive {
      do {
        _ = try EventLog.open(folder: folder, mode: .readOnly)
        return true
      } catch StoreError.noLog {
        return false
      }
    }
    if exists { return true }
    var backoff = Backoff(first: options.firstPause, maximum: options.maximumPause)
    var generator = SystemRandomNumberGenerator()
    while !isStopped() {
      do {
        try await join()
        return true
      } catch let error as NodeError {
        let pause = backoff.next(using: &generator)
        logger.warning(
          "the leader does not tell its catalog: trying again",
          metadata: ["leader": "\(leader.address)", "error": "\(error)", "pause": "\(pause)"])
        try await Task.sleep(for: pause)
      }
    }
    return false
  }

  private func join() async throws {
    let status = try await leader.status(deadline: .seconds(10))
    var state: CatalogState?
    if status.firstPosition > LogPosition(1) {
      let (header, routes) = try await leader.fetchState(of: status.catalog)
      do {
        state = try CatalogState(restoring: header, routes: routes)
      } catch {
        throw NodeError(.dataLoss, "the leader's state contradicts itself: \(error)")
      }
    }
    let (folder, catalog, base) = (folder, status.catalog, state)
    try await NIOThreadPool.singleton.runIfActive {
      let log = try EventLog.create(folder: folder, catalog: catalog)
      defer { log.releaseForWriting() }
      if let base { try log.install(base: base) }
    }
    logger.info(
      "made a log for catalog \(catalog)",
      metadata: [
        "folder": "\(folder)", "catalog_version": "\(base?.version ?? .zero)",
        "position": "\(base?.appliedThrough ?? .zero)",
      ])
  }
}
