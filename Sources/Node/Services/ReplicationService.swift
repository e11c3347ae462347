import Catalog
import Foundation
import GRPCCore
import Logging
import NIOPosix
import Replay
import StateMachines
import SwiftProtobuf
import Synchronization

/// Serves a node's log and state to learners. It reads the log from disk, so it runs on the shared
/// pool and leaves the event loops to the calls.
package struct ReplicationService: Cadastre_V1_Replication.SimpleServiceProtocol {
  private let core: NodeCore

  package init(_ core: NodeCore) { self.core = core }

  package func fetchCheckpoint(
    request: Wire.FetchCheckpointRequest, response: RPCWriter<Wire.FetchCheckpointResponse>,
    context: ServerContext
  ) async throws {
    try await withTaskExecutorPreference(globalConcurrentExecutor) {
      try check(request.catalogID, against: core.store.current)
      // A checkpoint that has to be made takes a while.
      let store = core.store
      let (checkpoints, root) = try await NIOThreadPool.singleton.runIfActive {
        do {
          return try store.checkpointToSend(of: CatalogVersion(request.version))
        } catch let error as StoreError {
          throw NodeError(
            .failedPrecondition, reason: "no_checkpoint",
            "this node has no checkpoint to send: \(error.problem)",
            remedy: "fetch its state, or follow its entries")
        }
      }
      core.logger.info(
        "sending a checkpoint",
        metadata: [
          "catalog_version": "\(root.version)", "position": "\(root.position)",
          "peer": "\(context.remotePeer)",
        ])
      try await response.write(
        .with {
          $0.start.catalogID = Data(store.catalog.bytes)
          $0.start.root = Data(root.bytes)
        })
      let hidden = try checkpoints.hiddenNodes(from: root)
      var last = root.version.rawValue == request.version ? request.afterNode : 0
      var count: UInt64 = 0
      while true {
        let nodes = try checkpoints.nodes(
          of: root, after: last, without: hidden, maxBytes: core.limits.messageByteCount)
        guard let newest = nodes.last else { break }
        last = newest.id
        count += UInt64(nodes.count)
        try await response.write(
          .with {
            $0.nodes.nodes = nodes.map { node in
              .with {
                $0.id = node.id
                $0.data = Data(node.bytes)
              }
            }
          })
        if core.changes.isClosed { throw Self.shuttingDown }
      }
      try await response.write(.with { $0.end.nodeCount = count })
    }
  }

  package func fetchState(
    request: Wire.FetchStateRequest, response: RPCWriter<Wire.FetchStateResponse>,
    context: ServerContext
  ) async throws {
    try await withTaskExecutorPreference(globalConcurrentExecutor) {
      let state = core.store.current
      try check(request.catalogID, against: state)
      core.logger.info(
        "sending the state",
        metadata: [
          "catalog_version": "\(state.version)", "position": "\(state.appliedThrough)",
          "peer": "\(context.remotePeer)",
        ])
      try await response.write(.with { $0.header = Wire.StateHeader(state.header) })
      for routes in RouteChunks(of: state.routes, byteCount: core.limits.messageByteCount) {
        try await response.write(.with { $0.chunk.routes = routes })
        if core.changes.isClosed { throw Self.shuttingDown }
      }
      try await response.write(.with { $0.end.routeCount = UInt64(state.routes.count) })
    }
  }

  package func follow(
    request: RPCAsyncSequence<Wire.FollowRequest, any Error>,
    response: RPCWriter<Wire.FollowResponse>, context: ServerContext
  ) async throws {
    try await withTaskExecutorPreference(globalConcurrentExecutor) {
      try await core.changes.withSubscription { subscription in
        try await withRPCCancellationHandler {
          let questions = Questions()
          try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
              defer {
                questions.end()
                subscription.poke()
              }
              for try await message in request {
                try questions.take(message)
                subscription.poke()
              }
            }
            defer { group.cancelAll() }
            guard let start = await questions.start(subscription) else {
              guard questions.isEnded else { throw Self.shuttingDown }
              // The stream broke, or its first message was wrong, which the reader says.
              return try await group.waitForAll()
            }
            try check(start.catalogID, against: core.store.current)
            core.logger.info(
              "a learner follows",
              metadata: [
                "region": "\(start.region)", "position": "\(start.afterPosition)",
                "peer": "\(context.remotePeer)",
              ])
            let follower = Follower(
              core: core, subscription: subscription, writer: response, questions: questions)
            try await follower.run(after: start)
            if questions.isEnded { try await group.waitForAll() }
          }
        } onCancelRPC: {
          subscription.cancel()
        }
      }
    }
  }

  private func check(_ asked: Data, against state: CatalogState) throws {
    guard !asked.isEmpty else { return }
    let asked = try fixed("catalog_id", asked, as: CatalogID.self)
    guard asked == state.catalog else {
      throw NodeError(
        .failedPrecondition, reason: "wrong_catalog",
        "this node holds catalog \(state.catalog), not \(asked)",
        remedy: "follow a node of catalog \(asked), or start with an empty folder")
    }
  }

  static let shuttingDown = NodeError(
    .unavailable, reason: "shutting_down", "this node is shutting down",
    remedy: "follow another node, or this one once it is back")
}

/// One learner's stream of entries.
private struct Follower: Sendable {
  let core: NodeCore
  let subscription: WakeHub.Subscription
  let writer: RPCWriter<Wire.FollowResponse>
  let questions: Questions

  func run(after start: Cadastre_V1_FollowStart) async throws {
    let position = LogPosition(start.afterPosition)
    if let reason = try mismatch(position, hash: start.afterHash) {
      return try await writer.write(.with { $0.reset = reset(reason) })
    }
    try await writer.write(
      .with {
        $0.started.catalogID = Data(core.store.current.catalog.bytes)
        $0.started.leader = heartbeat(answering: 0)
      })
    try await send(after: position)
  }

  /// Sends entries and answers until the learner goes or must be reset.
  private func send(after position: LogPosition) async throws {
    var cursor = position
    var answered: UInt64 = 0
    let era = core.era
    while !questions.isEnded {
      // A state that was taken over is not reached by entries.
      guard era == core.era else {
        return try await writer.write(.with { $0.reset = reset(.trimmed) })
      }
      let probe = questions.last
      let last = core.store.current.appliedThrough
      if cursor < last {
        guard let entries = try entries(after: cursor, through: last) else {
          return try await writer.write(.with { $0.reset = reset(.trimmed) })
        }
        // The answer to the probe goes with the entries, or after them.
        try await send(entries, after: cursor, answering: answered)
        cursor = LogPosition(cursor.rawValue + UInt64(entries.count))
      } else if probe > answered {
        try await writer.write(.with { $0.heartbeat = heartbeat(answering: probe) })
        answered = probe
      } else {
        switch await subscription.wait() {
        case .changed, .due: continue
        case .cancelled: return
        case .closed: throw ReplicationService.shuttingDown
        }
      }
    }
  }

  /// The bytes of some entries; nil when they are no longer retained. The log may hold more than is
  /// proven: nothing of that is sent.
  private func entries(
    after position: LogPosition, through last: LogPosition
  ) throws(StoreError) -> [[UInt8]]? {
    let count = min(8192, last.rawValue - position.rawValue)
    do {
      return try core.store.entryBytes(
        from: position.next, maxCount: Int(count), maxBytes: core.limits.messageByteCount)
    } catch {
      guard case .notRetained = error else { throw error }
      return nil
    }
  }

  /// Sends entries in messages of about the allowed size, and larger ones in parts.
  private func send(
    _ entries: [[UInt8]], after cursor: LogPosition, answering probe: UInt64
  ) async throws {
    let limit = core.limits.messageByteCount
    var (batch, byteCount) = ([Data](), 0)
    func flush(through position: LogPosition) async throws {
      guard !batch.isEmpty else { return }
      let entries = batch
      let hash = try core.store.hash(at: position)
      try await writer.write(
        .with {
          $0.entries.entries = entries
          $0.entries.leader = heartbeat(answering: probe)
          $0.entries.lastHash = hash.map { Data($0.bytes) } ?? Data()
        })
      (batch, byteCount) = ([], 0)
    }
    var last = cursor
    for entry in entries {
      if byteCount + entry.count > limit { try await flush(through: last) }
      last = last.next
      if entry.count > limit {
        try await send(parts: entry, position: last, limit)
      } else {
        batch.append(Data(entry))
        byteCount += entry.count
      }
    }
    try await flush(through: last)
  }

  private func send(parts entry: [UInt8], position: LogPosition, _ limit: Int) async throws {
    let hash = try core.store.hash(at: position)
    for offset in stride(from: 0, to: entry.count, by: limit) {
      let end = min(offset + limit, entry.count)
      try await writer.write(
        .with {
          $0.chunk.position = position.rawValue
          $0.chunk.data = Data(entry[offset..<end])
          $0.chunk.last = end == entry.count
          $0.chunk.entrySize = UInt64(entry.count)
          if end == entry.count { $0.chunk.hash = hash.map { Data($0.bytes) } ?? Data() }
        })
    }
  }

  /// Why entries cannot bring the learner up to date; nil when they can.
  private func mismatch(
    _ position: LogPosition, hash: Data
  ) throws -> Cadastre_V1_ResetReason? {
    let last = core.store.current.appliedThrough
    guard position <= last else { return .diverged }
    guard position.next >= (try core.store.firstPosition()) else { return .trimmed }
    guard position > .zero else { return nil }
    let asked = try fixed("after_hash", hash, as: EntryHash.self)
    return try core.store.hash(at: position) == asked ? nil : .diverged
  }

  private func heartbeat(answering probe: UInt64) -> Wire.Heartbeat {
    let staleness = core.staleness()
    let state = core.store.current
    return .with {
      $0.position = state.appliedThrough.rawValue
      $0.version = state.version.rawValue
      $0.probe = probe
      if let staleness { $0.stalenessMs = staleness.wholeMilliseconds }
    }
  }

  private func reset(_ reason: Cadastre_V1_ResetReason) -> Cadastre_V1_FollowReset {
    .with {
      $0.reason = reason
      $0.firstPosition = (try? core.store.firstPosition())?.rawValue ?? 0
      $0.lastPosition = core.store.current.appliedThrough.rawValue
    }
  }
}

/// What a learner said and last asked.
private final class Questions: Sendable {
  private struct State {
    var start: Cadastre_V1_FollowStart?
    var last: UInt64 = 0
    var isEnded = false
  }

  private let state = Mutex(State())

  var last: UInt64 { state.withLock { $0.last } }
  var isEnded: Bool { state.withLock { $0.isEnded } }

  func take(_ message: Wire.FollowRequest) throws(MalformedMessage) {
    try state.withLock { state throws(MalformedMessage) in
      switch (message.kind, state.start) {
      case (.start(let start), nil): state.start = start
      case (.progress(let progress), .some): state.last = max(state.last, progress.probe)
      case (nil, .some): break  // A kind of message that a later version knows.
      case (_, nil): throw MalformedMessage("the first message must be `start`")
      case (.start, .some): throw MalformedMessage("only the first message may be `start`")
      }
    }
  }

  func end() { state.withLock { $0.isEnded = true } }

  /// The first message, once it is there; nil when it never comes.
  func start(_ subscription: WakeHub.Subscription) async -> Cadastre_V1_FollowStart? {
    while true {
      let (start, isEnded) = state.withLock { ($0.start, $0.isEnded) }
      if let start { return start }
      if isEnded { return nil }
      switch await subscription.wait() {
      case .changed, .due: continue
      case .closed, .cancelled: return nil
      }
    }
  }
}

extension CatalogStore {
  /// The hash that the entry at a position must have, whatever its bytes are by now; or that of the
  /// last one in the state that the log begins after. nil where that is not known.
  fileprivate func hash(at position: LogPosition) throws -> EntryHash? {
    let state = current
    if position == state.appliedThrough { return state.lastHash }
    // Every entry names the one before it, also the first after a base.
    guard let next = try entryBytes(from: position.next, maxCount: 1).first else { return nil }
    return try next.withUnsafeBytes { try LogEntryHeader(decoding: $0).previous }
  }
}
