import CadastreClient
import Catalog
import Logging
import NIOPosix
import Replay
import StateMachines

/// Brings the log in a member's folder and the stream of its cluster together: makes the one that is
/// not there after the other.
struct ClusterJoin: Sendable {
  let stream: any SharedStream
  let folder: String
  let store: StoreOptions
  let options: FollowOptions
  let logger: Logger

  /// Tries until both are there.
  ///
  /// - Returns: false when `stop` was closed first.
  /// - Throws: ``StoreError`` when the folder cannot hold a log, or has another one, and when the
  ///   servers refuse this node.
  func run(until stop: WakeHub) async throws -> Bool {
    var backoff = Backoff(first: options.firstPause, maximum: options.maximumPause)
    var generator = SystemRandomNumberGenerator()
    while true {
      let problem: String
      do {
        return try await unless(stop) { try await join() }
      } catch is NothingThere {
        problem = "no member with a catalog has made it yet"
      } catch let error as SharedStreamError {
        // It will be the same until somebody changes what the node is told.
        if case .refused = error { throw StoreError.stream(stream.name, error) }
        problem = "\(error.problem): \(error.remedy)"
      }
      let pause = backoff.next(using: &generator)
      logger.warning(
        "cannot join the cluster yet: trying again",
        metadata: ["stream": "\(stream.name)", "error": "\(problem)", "pause": "\(pause)"])
      guard try await unless(stop, { try await Task.sleep(for: pause) }) else { return false }
    }
  }

  /// There is neither a log nor a stream.
  private struct NothingThere: Error {}

  private func join() async throws {
    let (stream, folder, store) = (stream, folder, store)
    let known = try await stream.catalog()
    let found = try await NIOThreadPool.singleton.runIfActive {
      try Self.find(in: folder, options: store.log)
    }
    if let found {
      guard let known else { return try await create(found) }
      guard known == found.catalog else {
        throw StoreError.otherCatalog(expected: known, found: found.catalog)
      }
    } else {
      guard let known else { throw NothingThere() }
      try await NIOThreadPool.singleton.runIfActive {
        let log = try EventLog.create(folder: folder, catalog: known, options: store.log)
        defer { log.releaseForWriting() }
        try log.setKeeper(.cluster(stream.name))
      }
      logger.info("made a log for catalog \(known)", metadata: ["folder": "\(folder)"])
    }
  }

  private struct Found: Sendable {
    var catalog: CatalogID
    var keeper: LogKeeper
    /// Where it ends, where that can be proven.
    var tail: Result<LogTail, StoreError>
  }

  /// What the log in a folder is; nil where there is none. It is closed on return, for the store to open.
  private static func find(
    in folder: String, options: LogOptions
  ) throws(StoreError) -> Found? {
    let log: EventLog
    do {
      // A log whose end is damaged is one all the same: what is proven of it is served.
      log = try EventLog.open(
        folder: folder, mode: .readOnly, options: options, provesEnd: false)
    } catch {
      if case .noLog = error { return nil }
      throw error
    }
    let tail: Result<LogTail, StoreError>
    do throws(StoreError) {
      tail = .success(try log.tail())
    } catch {
      tail = .failure(error)
    }
    return Found(catalog: log.catalog, keeper: try log.keeper(), tail: tail)
  }

  /// Makes the stream, to go on after this folder's log.
  private func create(_ found: Found) async throws {
    switch found.keeper {
    case .leader: break
    case .mirrored:
      guard store.promotesMirror else { throw StoreError.isMirror(folder: folder) }
    case .cluster:
      // Another member may have more of what the stream had.
      guard store.promotesMirror else {
        throw StoreError.stream(stream.name, .missing(stream.name))
      }
    }
    let tail = try found.tail.get()
    do {
      try await stream.create(found.catalog, after: tail)
      logger.notice(
        "made the stream of a cluster",
        metadata: ["stream": "\(stream.name)", "position": "\(tail.position)"])
    } catch {
      guard case .exists = error else { throw error }
      // Another member was first: this one follows, if it is the same catalog.
      let known = try await stream.catalog()
      guard known == found.catalog else {
        throw StoreError.otherCatalog(expected: known ?? found.catalog, found: found.catalog)
      }
    }
  }
}
