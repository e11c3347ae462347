import CadastreClient
import Catalog
import Replay
import StateMachines
import Synchronization

/// A catalog in a folder, read beside whoever writes it.
final class FolderReader: CatalogReader {
  /// How often the folder is looked at for what others wrote.
  private static let pollInterval: Duration = .milliseconds(100)
  /// How long a read waits for a version that is not there yet, as a server does.
  private static let patience: Duration = .seconds(2)

  private let log: EventLog
  private let checkpoints: CheckpointStore?
  private let state: Mutex<CatalogState>
  /// Why the state is not that of the whole log.
  private let condition: StoreError?

  /// Reads the folder's newest checkpoint and replays the entries after it. With `acceptsDamage`
  /// what is proven before an entry that is wrong will do, and ``status()`` says what is wrong.
  ///
  /// - Throws: ``Problem``; `CancellationError` when the task is cancelled.
  init(folder: String, acceptsDamage: Bool = false) throws {
    let progress = ReplayBar("opening")
    defer { progress.finish() }
    do {
      log = try EventLog.open(folder: folder, mode: .readOnly, provesEnd: !acceptsDamage)
      checkpoints = CheckpointStore.forReading(log) { Self.warn($0) }
      var replayer = Replayer(log)
      replayer.checkpoints = checkpoints
      replayer.onWarning = Self.warn
      replayer.onProgress = progress.update
      replayer.isCancelled = { Task.isCancelled }
      let (state, condition) = try Self.replay(log, with: replayer)
      if let condition, !acceptsDamage { throw condition }
      self.state = Mutex(state)
      self.condition = condition
    } catch {
      throw Problem(describing: error)
    }
  }

  /// The proven state, and why it is not that of the whole log.
  private static func replay(
    _ log: EventLog, with replayer: Replayer
  ) throws(StoreError) -> (CatalogState, StoreError?) {
    var state = try replayer.start()
    do throws(StoreError) {
      try replayer.replay(onto: &state)
    } catch {
      switch error {
      case .damaged, .unproven, .poisoned, .gap, .needsNewerReader: return (state, error)
      default: throw error
      }
    }
    return (state, nil)
  }

  static func warn(_ error: StoreError) {
    StandardStream.error.writeLine("warning: \(error)")
  }

  func resolve(_ keys: [Key], demand: ReadDemand) async throws -> ResolvedKeys {
    let state = try await state(meeting: demand)
    let routes = keys.compactMap { state.routes.route(containing: $0) }
    guard routes.count == keys.count else {
      throw Problem(NodeError(Refusal.notBootstrapped, current: state.version))
    }
    return ResolvedKeys(stamp: stamp(state), routes: routes)
  }

  func routes(
    _ selector: RouteSelector, limit: Int, demand: ReadDemand
  ) async throws -> RouteListing {
    let state = try await state(meeting: demand)
    // One more than asked for tells whether there are more.
    let count = limit == .max ? limit : limit + 1
    var routes: [Route]
    switch selector {
    case .span(let span): routes = state.routes.routes(overlapping: span, limit: count)
    case .group(let group): routes = state.routes.routes(of: group, limit: count)
    case .ids(let ids): routes = ids.compactMap { state.routes.route(id: $0) }
    }
    let hasMore = routes.count > limit
    if hasMore { routes.removeLast(routes.count - limit) }
    return RouteListing(stamp: stamp(state), routes: routes, hasMore: hasMore)
  }

  func status() async throws -> CatalogStatus {
    let state = try await state(meeting: .none)
    let first: LogPosition
    do {
      first = try log.firstPosition()
    } catch {
      throw Problem(error)
    }
    return CatalogStatus(
      catalog: state.catalog, version: state.version, position: state.appliedThrough,
      firstPosition: first, routeCount: UInt64(state.routes.count), digest: state.digest,
      headHash: state.lastHash, lastTime: state.lastTime, condition: condition.map { "\($0)" },
      more: [("folder", log.folder, "folder", .string(log.folder))])
  }

  private func stamp(_ state: CatalogState) -> ReadStamp {
    // Whose log it is, and how far its leader has come, a folder does not know.
    ReadStamp(
      version: state.version,
      servedAtMilliseconds: NodeClock.system.wallMilliseconds(), staleness: nil)
  }

  private func state(meeting demand: ReadDemand) async throws -> CatalogState {
    guard demand.maximumStaleness == nil else {
      throw Problem(
        .unavailable, code: "behind", "a folder does not know how stale it is",
        help: "ask a server with --server, or leave out --max-staleness")
    }
    let deadline = NodeClock.system.now() + Self.patience
    while true {
      let current = state.withLock { $0 }
      if current.version >= demand.minimumVersion { return current }
      guard NodeClock.system.now() < deadline else {
        throw Problem(
          .unavailable, code: "behind",
          "the log is at version \(current.version), version \(demand.minimumVersion) was asked "
            + "for", help: "ask again later, or ask the leader",
          details: [("version", JSON(current.version))])
      }
      try await Task.sleep(for: Self.pollInterval)
      try catchUp()
    }
  }

  private func catchUp() throws {
    let log = log
    do {
      try state.withLock { state in try Replayer(log).replay(onto: &state) }
    } catch let error as StoreError {
      throw Problem(error)
    }
  }
}

extension FolderReader {
  func watch(
    after version: CatalogVersion?, _ filter: WatchFilter,
    _ body: @escaping @Sendable (WatchUpdate) throws -> Bool
  ) async throws {
    var state = self.state.withLock { $0 }
    if let version {
      guard version <= state.version else {
        throw Problem(
          .notFound, code: "version-in-future",
          "version \(version) is not there yet: the log is at version \(state.version)",
          help: "watch from a version that is there",
          details: [("version", JSON(state.version))])
      }
      guard let earlier = try self.state(at: version) else {
        return try await watchReset(state, filter, body)
      }
      state = earlier
    }
    guard try body(.started(state.version)) else { return }
    try await follow(&state, filter, body)
  }

  /// The state at a version; nil when the log begins later.
  private func state(at version: CatalogVersion) throws -> CatalogState? {
    do {
      guard let position = try log.position(of: version) else {
        let start = try log.start()
        return start.version == version ? start : nil
      }
      var replayer = Replayer(log)
      replayer.checkpoints = checkpoints
      return try replayer.replay(through: position)
    } catch {
      throw Problem(error)
    }
  }

  private func watchReset(
    _ state: CatalogState, _ filter: WatchFilter,
    _ body: @escaping @Sendable (WatchUpdate) throws -> Bool
  ) async throws {
    var state = state
    let count =
      switch filter {
      case .all: state.routes.count
      case .span(let span): state.routes.routes(overlapping: span).count
      case .group(let group): state.routes.routes(of: group).count
      }
    let reset = WatchUpdate.reset(
      state.version, routeCount: UInt64(count), digest: state.digest,
      reason: "the log begins later")
    guard try body(reset) else { return }
    try await follow(&state, filter, body)
  }

  /// Hands out what is appended, looking for it again and again.
  private func follow(
    _ state: inout CatalogState, _ filter: WatchFilter,
    _ body: @escaping @Sendable (WatchUpdate) throws -> Bool
  ) async throws {
    while true {
      try Task.checkCancellation()
      let entries: [EncodedEntry]
      do {
        entries = try log.entries(
          from: state.appliedThrough.next, maxCount: 256, maxBytes: 4 << 20)
      } catch {
        throw Problem(error)
      }
      for encoded in entries {
        let before = state.routes
        do {
          try state.evolve(encoded)
        } catch {
          throw Problem(StoreError.unproven(encoded.entry.position, error))
        }
        // Not every entry need change routes.
        guard state.version > before.version else { continue }
        let change = VersionChange(
          from: before, to: state.routes, touching: encoded.entry.events)
        let delta = change.delta(through: filter)
        guard try body(delta.map { .delta($0) } ?? .passed(state.version)) else { return }
      }
      if entries.isEmpty { try await Task.sleep(for: Self.pollInterval) }
    }
  }
}
