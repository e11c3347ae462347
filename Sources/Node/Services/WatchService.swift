import Catalog
import Foundation
import GRPCCore
import Replay
import StateMachines

/// Streams versions to watchers. A watcher is a cursor: what it has not read yet is taken from the
/// recent versions when it reads on, so a stalled one holds up and fills up nothing.
package struct WatchService: Cadastre_V1_CatalogWatch.ServiceProtocol {
  private let core: NodeCore

  package init(_ core: NodeCore) { self.core = core }

  package func watch(
    request: ServerRequest<Wire.WatchRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Wire.WatchResponse> {
    let timeout = request.metadata.callTimeout
    return StreamingServerResponse { writer in
      try await watch(request.message, timeout: timeout, to: writer)
      return [:]
    }
  }

  private func watch(
    _ request: Wire.WatchRequest, timeout: Duration?, to writer: RPCWriter<Wire.WatchResponse>
  ) async throws {
    let interval =
      request.progressIntervalMs == 0
      ? core.limits.progressInterval
      : max(.milliseconds(10), Duration(boundedMilliseconds: request.progressIntervalMs))
    try await core.changes.withSubscription { subscription in
      var watcher = Watcher(
        core: core, subscription: subscription, writer: writer, interval: interval)
      try await withRPCCancellationHandler {
        try await watcher.run(
          from: request.hasFromVersion ? CatalogVersion(request.fromVersion) : nil,
          timeout: timeout)
      } onCancelRPC: {
        subscription.cancel()
      }
    }
  }
}

/// One watch.
private struct Watcher {
  let core: NodeCore
  let subscription: WakeHub.Subscription
  let writer: RPCWriter<Wire.WatchResponse>
  let interval: Duration
  /// The version that the caller has, and of which era of this node.
  var cursor = CatalogVersion.zero
  var era = 0

  init(
    core: NodeCore, subscription: WakeHub.Subscription, writer: RPCWriter<Wire.WatchResponse>,
    interval: Duration
  ) {
    self.core = core
    self.subscription = subscription
    self.writer = writer
    self.interval = interval
  }

  mutating func run(from version: CatalogVersion?, timeout: Duration?) async throws {
    try await begin(from: version, timeout: timeout)
    var lastSent = core.clock.now()
    while true {
      if era != core.era {
        try await reset("the node took over a whole state")
        continue
      }
      let current = core.store.current.version
      if cursor < current {
        switch try await sendDeltas(through: current) {
        case true: lastSent = core.clock.now()
        case false: try await reset("version \(cursor.next) is no longer retained")
        }
        continue
      }
      switch await subscription.wait(until: lastSent + interval) {
      case .changed: continue
      case .due:
        lastSent = core.clock.now()
        try await sendProgress()
      case .cancelled: return
      case .closed:
        throw NodeError(
          .unavailable, reason: "shutting_down", "this node is shutting down",
          remedy: "watch another node from version \(cursor)")
      }
    }
  }

  private mutating func begin(from version: CatalogVersion?, timeout: Duration?) async throws {
    era = core.era
    guard let version else { return try await reset("no version was given") }
    if core.role == .leader, version > core.store.current.version {
      throw NodeError(
        .invalidArgument, reason: "version_in_future",
        "version \(version) is not there yet: the catalog is at \(core.store.current.version)",
        remedy: "ask whether this is the catalog that you read from"
      ) { $0.catalogVersion = core.store.current.version.rawValue }
    }
    // A learner may have yet to reach what the caller saw elsewhere.
    let view = try await core.view(
      meeting: ReadDemand(minimumVersion: version), timeout: timeout)
    guard version == view.state.version || core.store.table(at: version) != nil else {
      return try await reset("version \(version) is no longer retained")
    }
    cursor = version
    try await send(started: version, reset: nil)
  }

  /// Sends all routes as they are, and goes on from there.
  private mutating func reset(_ reason: String) async throws {
    era = core.era
    let state = core.store.current
    try await send(started: state.version, reset: reason)
    // The version lives on for as long as it is being sent; a watcher that does not read must not
    // keep it for ever.
    let (writer, limits) = (writer, core.limits)
    try await within(limits.snapshotPatience) {
      try await Self.send(snapshot: state, to: writer, byteCount: limits.messageByteCount)
    } orThrow: {
      NodeError(
        .unavailable, reason: "snapshot_too_slow",
        "the snapshot was not read within \(limits.snapshotPatience)",
        remedy: "watch again, and read faster")
    }
    cursor = state.version
  }

  private func send(started version: CatalogVersion, reset: String?) async throws {
    var message = Wire.WatchResponse()
    message.started.catalogID = Data(core.store.current.catalog.bytes)
    message.started.version = version.rawValue
    message.started.reset = reset != nil
    message.started.resetReason = reset ?? ""
    try await writer.write(message)
  }

  private static func send(
    snapshot state: CatalogState, to writer: RPCWriter<Wire.WatchResponse>, byteCount: Int
  ) async throws {
    var chunk = Wire.WatchResponse()
    chunk.snapshot.version = state.version.rawValue
    for routes in RouteChunks(of: state.routes, byteCount: byteCount) {
      chunk.snapshot.routes = routes
      try await writer.write(chunk)
    }
    chunk.snapshot.routes = []
    chunk.snapshot.last = true
    chunk.snapshot.routeCount = UInt64(state.routes.count)
    chunk.snapshot.digest = Data(state.digest.bytes)
    try await writer.write(chunk)
  }

  /// Sends what follows the cursor, at most `through`: as many versions as fit into one message, or
  /// one version in several.
  ///
  /// - Returns: false when the next version is no longer retained.
  private mutating func sendDeltas(through last: CatalogVersion) async throws -> Bool {
    var message = Wire.WatchResponse()
    message.deltas = .init()
    var size = 0
    var version = cursor
    while version < last, size < core.limits.messageByteCount {
      guard let delta = core.store.delta(to: version.next), era == core.era else { break }
      let wire = Wire.VersionDelta(delta)
      let cost = wire.approximateSize
      if size + cost > core.limits.messageByteCount {
        if size > 0 { break }
        try await send(oversized: wire)
        cursor = version.next
        return true
      }
      message.deltas.deltas.append(wire)
      size += cost
      version = version.next
    }
    guard version > cursor else { return era != core.era }
    try await writer.write(message)
    cursor = version
    return true
  }

  private func send(oversized delta: Wire.VersionDelta) async throws {
    var part = Wire.VersionDelta()
    part.version = delta.version
    part.partial = true
    var size = 0
    func flush() async throws {
      var message = Wire.WatchResponse()
      message.deltas.deltas = [part]
      try await writer.write(message)
    }
    for id in delta.removedIds {
      part.removedIds.append(id)
      size += 10
      if size >= core.limits.messageByteCount {
        try await flush()
        (part.removedIds, size) = ([], 0)
      }
    }
    for route in delta.upserted {
      part.upserted.append(route)
      size += route.approximateSize
      if size >= core.limits.messageByteCount {
        try await flush()
        (part.removedIds, part.upserted, size) = ([], [], 0)
      }
    }
    part.partial = false
    try await flush()
  }

  private func sendProgress() async throws {
    let staleness = core.staleness()
    // Only what the caller has is told; anything newer comes first.
    guard core.store.current.version == cursor else { return }
    var message = Wire.WatchResponse()
    message.progress.stamp = Wire.ReadStamp(core.stamp(cursor, staleness: staleness))
    try await writer.write(message)
  }
}

extension Cadastre_V1_VersionDelta {
  package init(_ delta: RouteDelta) {
    self.init()
    version = delta.to.rawValue
    removedIds = delta.removed.map(\.rawValue)
    upserted = delta.upserted.map(Wire.Route.init)
  }

  /// About how many bytes it takes on the wire.
  fileprivate var approximateSize: Int {
    16 + removedIds.count * 10 + upserted.reduce(0) { $0 + $1.approximateSize }
  }
}
