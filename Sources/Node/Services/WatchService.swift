import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import NIOPosix
import Replay
import StateMachines
import Synchronization

/// Streams versions to watchers. A watcher is a cursor: what it has not read yet is taken from the
/// recent versions when it reads on, or from the log, so a stalled one holds up and fills up nothing.
package struct WatchService: Cadastre_V1_CatalogWatch.ServiceProtocol {
  private let core: NodeCore
  private let reader: AuditReader

  package init(_ core: NodeCore) {
    self.core = core
    reader = core.store.auditReader()
  }

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
    let filter = try request.watchFilter()
    try await core.metrics.watchers.withPlace(at: core.store.current.version) { place in
      try await core.changes.withSubscription { subscription in
        var watcher = Watcher(
          core: core, reader: reader, subscription: subscription, writer: writer, filter: filter,
          interval: interval, place: place)
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
}

/// One watch.
private struct Watcher {
  /// So many versions are looked at in one go: filters may let none of them through.
  private static let versionsPerStep: UInt64 = 1024

  let core: NodeCore
  let reader: AuditReader
  let subscription: WakeHub.Subscription
  let writer: RPCWriter<Wire.WatchResponse>
  let filter: WatchFilter
  let interval: Duration
  let place: WatcherMetrics.Place
  /// The version that the caller has, and of which era of this node.
  var cursor = CatalogVersion.zero {
    didSet { place.move(to: cursor) }
  }
  var era = 0
  /// What was read of the log and comes right after the cursor.
  var page: ArraySlice<VersionChange> = []

  init(
    core: NodeCore, reader: AuditReader, subscription: WakeHub.Subscription,
    writer: RPCWriter<Wire.WatchResponse>, filter: WatchFilter, interval: Duration,
    place: WatcherMetrics.Place
  ) {
    self.core = core
    self.reader = reader
    self.subscription = subscription
    self.writer = writer
    self.filter = filter
    self.interval = interval
    self.place = place
  }

  /// What became of some versions.
  private enum Step {
    /// Something was sent.
    case sent
    /// The caller need not hear of any of them, or they were got ready to be told of.
    case passed
    /// They cannot be told, for this reason.
    case gone(String)
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
        case .sent: lastSent = core.clock.now()
        case .gone(let reason): try await reset(reason)
        case .passed:
          if core.clock.now() >= lastSent + interval {
            lastSent = core.clock.now()
            try await sendProgress()
          }
          // Nothing was waited for, and others have something to do on this thread.
          await Task.yield()
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
    if version != view.state.version, core.store.table(at: version) == nil {
      let reader = reader
      let isKnown = try await NIOThreadPool.singleton.runIfActive {
        // A log that cannot be read leads nowhere.
        (try? reader.leadsOn(from: version)) ?? false
      }
      guard isKnown else { return try await reset("version \(version) is no longer retained") }
    }
    cursor = version
    try await send(started: version, reset: nil)
  }

  /// Sends all routes as they are, and goes on from there.
  private mutating func reset(_ reason: String) async throws {
    era = core.era
    page = []
    let state = core.store.current
    try await send(started: state.version, reset: reason)
    // The version lives on for as long as it is being sent; a watcher that does not read must not
    // keep it for ever.
    let (writer, limits, filter) = (writer, core.limits, filter)
    try await within(limits.snapshotPatience) {
      try await Self.send(
        snapshot: state, through: filter, to: writer, byteCount: limits.messageByteCount)
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
    message.started.filtered = filter != .all
    try await writer.write(message)
  }

  private static func send(
    snapshot state: CatalogState, through filter: WatchFilter,
    to writer: RPCWriter<Wire.WatchResponse>, byteCount: Int
  ) async throws {
    var count = 0
    var chunk = Wire.WatchResponse()
    chunk.snapshot.version = state.version.rawValue
    for routes in RouteChunks(of: state.routes, through: filter, byteCount: byteCount) {
      chunk.snapshot.routes = routes
      count += routes.count
      try await writer.write(chunk)
    }
    chunk.snapshot.routes = []
    chunk.snapshot.last = true
    chunk.snapshot.routeCount = UInt64(count)
    chunk.snapshot.digest = Data(state.digest.bytes)
    try await writer.write(chunk)
  }

  /// Sends what follows the cursor, at most `through`: as many versions as fit into one message, or
  /// one version in several.
  private mutating func sendDeltas(through last: CatalogVersion) async throws -> Step {
    var message = Wire.WatchResponse()
    message.deltas = .init()
    var size = 0
    var version = cursor
    while version < last, size < core.limits.messageByteCount,
      version.rawValue - cursor.rawValue < Self.versionsPerStep
    {
      guard let next = delta(to: version.next), era == core.era else { break }
      if let delta = next {
        let wire = Wire.VersionDelta(delta)
        let cost = wire.approximateSize
        if size + cost > core.limits.messageByteCount {
          if size > 0 { break }
          try await send(oversized: wire)
          move(to: version.next)
          return .sent
        }
        message.deltas.deltas.append(wire)
        size += cost
      }
      version = version.next
    }
    guard version > cursor else {
      return era == core.era ? try await readLog(through: last) : .passed
    }
    if size > 0 { try await writer.write(message) }
    move(to: version)
    return size > 0 ? .sent : .passed
  }

  /// What the caller has to hear of a version: nil where nothing; no answer where the version is
  /// neither in memory nor read from the log.
  private func delta(to version: CatalogVersion) -> RouteDelta?? {
    if let first = page.first {
      let offset = Int(clamping: version.rawValue &- first.version.rawValue)
      if offset < page.count { return .some(page[page.startIndex + offset].delta(through: filter)) }
    }
    if filter == .all { return core.store.delta(to: version).map { .some($0) } }
    return core.store.change(to: version).map { $0.delta(through: filter) }
  }

  private mutating func move(to version: CatalogVersion) {
    page = page.drop { $0.version <= version }
    cursor = version
  }

  /// Reads what follows the cursor from the log, on a thread that may block.
  private mutating func readLog(through last: CatalogVersion) async throws -> Step {
    let (reader, cursor, byteCount) = (reader, cursor, core.limits.messageByteCount)
    core.watchersReadLog.add(1, ordering: .relaxed)
    let found: [VersionChange]?
    do {
      found = try await NIOThreadPool.singleton.runIfActive {
        try reader.changes(after: cursor, through: last, maxBytes: byteCount)
      }
    } catch let error as AuditError {
      return .gone("the log cannot be read after version \(cursor): \(error.problem)")
    }
    guard let found, found.first?.version == cursor.next else {
      return .gone("version \(cursor.next) is no longer retained")
    }
    page = found[...]
    return .passed
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
    // How fresh the caller is can be told only where it has everything.
    let isNewest = core.store.current.version == cursor
    var message = Wire.WatchResponse()
    message.progress.stamp = Wire.ReadStamp(
      core.stamp(cursor, staleness: isNewest ? staleness : nil))
    try await writer.write(message)
  }
}

extension Cadastre_V1_WatchRequest {
  fileprivate func watchFilter() throws(MalformedMessage) -> WatchFilter {
    switch filter {
    case .span(let span): .span(try span.value())
    case .groupID(let group): .group(GroupID(group))
    case nil: .all
    }
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
