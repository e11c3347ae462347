import CadastreClient
import CadastreProtocol
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
  private let regions: RegionNode?

  /// A service of the catalog's stream, and of those of the regions that a node has.
  package init(_ core: NodeCore, regions: RegionNode? = nil) {
    self.core = core
    self.regions = regions
  }

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
      let members = try checkpoints.members(of: root)
      for part in Self.parts(members, of: core.limits.messageByteCount) {
        try await response.write(.with { $0.members = part })
      }
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
      let commands = try await commands(request.commands, through: root.position)
      for part in Self.parts(commands?.bytes ?? [], of: core.limits.messageByteCount) {
        try await response.write(.with { $0.commands = part })
      }
      try await response.write(
        .with {
          $0.end.nodeCount = count
          if let commands { $0.end.commandsHash = Data(commands.hash.bytes) }
        })
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
      for part in Self.parts(state.membership.bytes, of: core.limits.messageByteCount) {
        try await response.write(.with { $0.members = part })
      }
      let commands = try await commands(request.commands, through: state.appliedThrough)
      for part in Self.parts(commands?.bytes ?? [], of: core.limits.messageByteCount) {
        try await response.write(.with { $0.commands = part })
      }
      try await response.write(
        .with {
          $0.end.routeCount = UInt64(state.routes.count)
          if let commands { $0.end.commandsHash = Data(commands.hash.bytes) }
        })
    }
  }

  package func fetchMembers(
    request: Wire.FetchMembersRequest, response: RPCWriter<Wire.FetchMembersResponse>,
    context: ServerContext
  ) async throws {
    try await withTaskExecutorPreference(globalConcurrentExecutor) {
      try check(request.catalogID, against: core.store.current)
      let (reader, position) = (core.store.auditReader(), LogPosition(request.position))
      let members = try await NIOThreadPool.singleton.runIfActive {
        do {
          return try reader.membership(at: position)
        } catch let error as AuditError {
          throw NodeError(error)
        }
      }
      for part in Self.parts(members, of: core.limits.messageByteCount) {
        try await response.write(.with { $0.members = part })
      }
      try await response.write(.with { $0.last = true })
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
            let source = try source(start)
            core.logger.info(
              "a learner follows",
              metadata: [
                "region": "\(start.region)", "position": "\(start.afterPosition)",
                "stream": "\(start.streamRegion)", "peer": "\(context.remotePeer)",
              ])
            if let changes = source.changes {
              // What the stream of a region has to tell is told to this subscription too.
              group.addTask {
                await changes.withSubscription { other in
                  while true {
                    switch await other.wait() {
                    case .changed, .due: subscription.poke()
                    case .closed, .cancelled: return
                    }
                  }
                }
              }
            }
            let follower = Follower(
              source: source, subscription: subscription, writer: response, questions: questions)
            try await follower.run(after: start)
            if questions.isEnded { try await group.next() }
          }
        } onCancelRPC: {
          subscription.cancel()
        }
      }
    }
  }

  /// The stream that a learner asks for.
  private func source(_ start: Cadastre_V1_FollowStart) throws -> FollowSource {
    let (core, count) = (core, core.limits.messageByteCount)
    guard let region = try optionalRegion(start.streamRegion) else {
      return FollowSource(view: { core.leaderView }) { start, view throws(StoreError) in
        try core.store.beginFollowing(start, view: view, messageByteCount: count)
      }
    }
    let stream = try stream(of: region)
    return FollowSource(
      changes: stream.changes, view: { stream.view(at: core.clock.now()) }
    ) { start, view throws(StoreError) in
      try stream.store.beginFollowing(start, view: view, messageByteCount: count)
    }
  }

  private func stream(of region: Region) throws(NodeError) -> RegionStream {
    guard let stream = regions?.streams[region] else {
      throw NodeError(
        .notFound, reason: "no_region_stream", "this node has no stream of region \(region)",
        remedy: "ask a node that was started with --lead-region or --mirror-region \(region)")
    }
    return stream
  }

  package func fetchRegionState(
    request: Cadastre_V1_FetchRegionStateRequest,
    response: RPCWriter<Cadastre_V1_FetchRegionStateResponse>, context: ServerContext
  ) async throws {
    try await withTaskExecutorPreference(globalConcurrentExecutor) {
      try check(request.catalogID, against: core.store.current)
      guard let region = try optionalRegion(request.region) else {
        throw MalformedMessage("region: name one")
      }
      let store = try stream(of: region).store
      let state = store.current
      core.logger.info(
        "sending the state of a region's stream",
        metadata: [
          "stream": "\(region)", "position": "\(state.appliedThrough)",
          "peer": "\(context.remotePeer)",
        ])
      try await response.write(.with { $0.header = Wire.StateHeader(state.header) })
      for chunk in RegionEventLog.chunks(of: state) {
        for part in Self.parts(chunk, of: core.limits.messageByteCount) {
          try await response.write(.with { $0.records = part })
        }
        if core.changes.isClosed { throw Self.shuttingDown }
      }
      var end = Cadastre_V1_RegionStateEnd()
      end.recordCount = UInt64(state.recordCount)
      if request.commands {
        let commands = try await NIOThreadPool.singleton.runIfActive {
          try store.commandWindow(through: state.appliedThrough)
        }
        end.commandsHash = Data(commands.hash.bytes)
        for part in Self.parts(commands.bytes, of: core.limits.messageByteCount) {
          try await response.write(.with { $0.commands = part })
          if core.changes.isClosed { throw Self.shuttingDown }
        }
      }
      let last = end
      try await response.write(.with { $0.end = last })
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

  /// The commands that are known up to a position, for who asks for them.
  private func commands(
    _ areAskedFor: Bool, through position: LogPosition
  ) async throws -> CommandWindow? {
    guard areAskedFor else { return nil }
    let store = core.store
    return try await NIOThreadPool.singleton.runIfActive {
      try store.commandWindow(through: position)
    }
  }

  /// Bytes in parts of at most `limit`.
  private static func parts(_ bytes: [UInt8], of limit: Int) -> [Data] {
    stride(from: 0, to: bytes.count, by: limit).map {
      Data(bytes[$0..<min($0 + limit, bytes.count)])
    }
  }

  static let shuttingDown = NodeError(
    .unavailable, reason: "shutting_down", "this node is shutting down",
    remedy: "follow another node, or this one once it is back")
}

/// What a learner follows: the catalog's stream, or that of a region.
private struct FollowSource: Sendable {
  /// Woken when the stream moved on, where that is not with the catalog.
  var changes: WakeHub?
  var view: @Sendable () -> LeaderView
  var begin:
    @Sendable (FollowStart, LeaderView) throws(StoreError) -> (
      session: LeaderSession, first: FollowMessage
    )
}

/// One learner's stream of entries.
private struct Follower: Sendable {
  let source: FollowSource
  let subscription: WakeHub.Subscription
  let writer: RPCWriter<Wire.FollowResponse>
  let questions: Questions

  /// Sends entries and answers until the learner goes or must be reset.
  func run(after start: Cadastre_V1_FollowStart) async throws {
    var (session, first) = try source.begin(try FollowStart(start), source.view())
    try await writer.write(Wire.FollowResponse(first))
    while !questions.isEnded, !session.isOver {
      let messages = try session.next(source.view(), probe: questions.last)
      for message in messages { try await writer.write(Wire.FollowResponse(message)) }
      guard messages.isEmpty else { continue }
      switch await subscription.wait() {
      case .changed, .due: continue
      case .cancelled: return
      case .closed: throw ReplicationService.shuttingDown
      }
    }
  }
}

extension NodeCore {
  /// What this node says of itself to who follows it.
  fileprivate var leaderView: LeaderView {
    // In this order: what is true of the freshness now is true of every state published later, and
    // the state of a later era is never taken for one of an earlier.
    let era = era
    let staleness = staleness()
    return LeaderView(era: era, staleness: staleness, state: store.current)
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
