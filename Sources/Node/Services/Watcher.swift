import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import NIOPosix
import Replay
import StateMachines
import Synchronization

/// One watch.
struct Watcher {
  /// So many versions are looked at in one go: filters may let none of them through.
  private static let versionsPerStep: UInt64 = 1024

  let core: NodeCore
  let reader: AuditReader
  let shared: SharedDeltas
  let subscription: WakeHub.Subscription
  let writer: RPCWriter<EncodedMessage>
  let filter: WatchFilter
  let interval: Duration
  let place: WatcherMetrics.Place
  /// The version that the caller has, and of which era of this node.
  private var cursor = CatalogVersion.zero {
    didSet { place.move(to: cursor) }
  }
  private var era = 0

  init(
    core: NodeCore, reader: AuditReader, shared: SharedDeltas,
    subscription: WakeHub.Subscription, writer: RPCWriter<EncodedMessage>, filter: WatchFilter,
    interval: Duration, place: WatcherMetrics.Place
  ) {
    self.core = core
    self.reader = reader
    self.shared = shared
    self.subscription = subscription
    self.writer = writer
    self.filter = filter
    self.interval = interval
    self.place = place
  }

  /// What became of some versions.
  private enum Step {
    /// They can be told.
    case messages(DeltaMessages)
    /// Nothing was found out; the node took over another state meanwhile.
    case stale
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
        switch try await deltas(through: current) {
        case .gone(let reason): try await reset(reason)
        case .stale: continue
        case .messages(let deltas) where deltas.messages.isEmpty:
          cursor = deltas.through
          if core.clock.now() >= lastSent + interval {
            lastSent = core.clock.now()
            try await sendProgress()
          }
          // Nothing was waited for, and others have something to do on this thread.
          await Task.yield()
        case .messages(let deltas):
          try await send(deltas)
          cursor = deltas.through
          lastSent = core.clock.now()
        }
        continue
      }
      switch await subscription.wait(until: lastSent + interval) {
      case .changed: continue
      case .due:
        lastSent = core.clock.now()
        try await sendProgress()
      case .cancelled: throw RPCError.givenUp(hasDeadline: timeout != nil)
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
      let isKnown = try await core.watchersAtLog.withTurn {
        try await NIOThreadPool.singleton.runIfActive {
          // A log that cannot be read leads nowhere.
          (try? reader.leadsOn(from: version)) ?? false
        }
      }
      guard isKnown else { return try await reset("version \(version) is no longer retained") }
    }
    cursor = version
    try await send(started: version, reset: nil)
  }

  // MARK: Deltas

  private var key: SharedDeltas.Key {
    SharedDeltas.Key(era: era, after: cursor, filter: filter)
  }

  /// What follows the cursor, at most `through`, as far as it goes into a message or was read of the
  /// log at once.
  private func deltas(through last: CatalogVersion) async throws -> Step {
    // Where others stopped before what is there now, and could have gone on, this one does.
    if let found = shared[key], found.isFull || found.through >= last { return .messages(found) }
    if let deltas = try deltasInMemory(through: last) { return .messages(deltas) }
    return try await deltasInLog(through: last)
  }

  /// nil where the next version is not in memory.
  private func deltasInMemory(through last: CatalogVersion) throws -> DeltaMessages? {
    var packer = DeltaPacker(byteCount: core.limits.messageByteCount)
    var version = cursor
    while version < last, packer.messages.isEmpty,
      version.rawValue - cursor.rawValue < Self.versionsPerStep
    {
      guard let next = delta(to: version.next), era == core.era else { break }
      if let delta = next { try packer.add(delta, digest: digest(at: version.next)) }
      version = version.next
    }
    guard version > cursor else { return nil }
    let isFull = version < last
    return share(through: version, try packer.finish(), isFull: isFull)
  }

  /// What the caller has to hear of a version: nil where nothing; no answer where the version is not
  /// in memory.
  private func delta(to version: CatalogVersion) -> RouteDelta?? {
    if filter == .all { return core.store.delta(to: version).map { .some($0) } }
    return core.store.change(to: version).map { $0.delta(through: filter) }
  }

  /// What a caller that has all routes of a version can compare its own with; nil where the version is
  /// not in memory, as only older ones are not.
  private func digest(at version: CatalogVersion) -> StateDigest? {
    filter == .all ? core.store.table(at: version)?.digest : nil
  }

  /// Reads and encodes when its turn has come, on a thread that may block. Neither the turn nor what
  /// was read outlives this: a watcher that does not read on has messages, and holds up nobody.
  private func deltasInLog(through last: CatalogVersion) async throws -> Step {
    // The entries name less than the routes that are sent.
    let pageByteCount = max(1, core.limits.messageByteCount / 4)
    let this = self
    do {
      return try await core.watchersAtLog.withTurn {
        // Somebody who waited before may have read the same.
        if let found = this.shared[this.key], found.isFull { return .messages(found) }
        guard this.era == this.core.era else { return .stale }
        this.core.watchersReadLog.add(1, ordering: .relaxed)
        return try await NIOThreadPool.singleton.runIfActive {
          switch try this.reader.changes(
            after: this.cursor, through: last, maxBytes: pageByteCount)
          {
          case .changes(let changes): return try this.step(changes)
          case .notRetained: return .gone("version \(this.cursor.next) is no longer retained")
          case .tooLarge(let version, let byteCount):
            return .gone(
              "version \(version) changed \(grouped(byteCount)) bytes and is no longer in memory, "
                + "the routes as they are take fewer")
          }
        }
      }
    } catch let error as AuditError {
      return .gone("the log cannot be read after version \(cursor): \(error.problem)")
    }
  }

  private func step(_ changes: [VersionChange]) throws -> Step {
    guard changes.first?.version == cursor.next, let last = changes.last else {
      return .gone("version \(cursor.next) is no longer retained")
    }
    var packer = DeltaPacker(byteCount: core.limits.messageByteCount)
    for change in changes {
      if let delta = change.delta(through: filter) {
        try packer.add(delta, digest: digest(at: change.version))
      }
    }
    return .messages(share(through: last.version, try packer.finish(), isFull: true))
  }

  private func share(
    through version: CatalogVersion, _ messages: [EncodedMessage], isFull: Bool
  ) -> DeltaMessages {
    let deltas = DeltaMessages(through: version, messages: messages, isFull: isFull)
    // Versions of another history have the same numbers. That nothing is to be told costs no encoding,
    // and would take the place of what does.
    if era == core.era, !messages.isEmpty { shared.insert(deltas, for: key) }
    return deltas
  }

  private func send(_ deltas: DeltaMessages) async throws {
    let writer = writer
    guard deltas.byteCount > 8 * core.limits.messageByteCount else {
      for message in deltas.messages { try await writer.write(message) }
      return
    }
    // A large version lives on for as long as it is being sent; as with a snapshot, a watcher that
    // does not read must not keep it for ever.
    try await patiently("version \(deltas.through)") {
      for message in deltas.messages { try await writer.write(message) }
    }
  }

  private func patiently(
    _ what: String, _ send: @escaping @Sendable () async throws -> Void
  ) async throws {
    let patience = core.limits.snapshotPatience
    try await within(patience, send) {
      NodeError(
        .unavailable, reason: "snapshot_too_slow", "\(what) was not read within \(patience)",
        remedy: "watch again, and read faster")
    }
  }

  // MARK: Snapshots

  /// Sends all routes as they are, and goes on from there.
  private mutating func reset(_ reason: String) async throws {
    era = core.era
    let state = core.store.current
    try await send(started: state.version, reset: reason)
    // The version lives on for as long as it is being sent; a watcher that does not read must not
    // keep it for ever.
    let (writer, limits, filter) = (writer, core.limits, filter)
    try await patiently("the snapshot") {
      try await Self.send(
        snapshot: state, through: filter, to: writer, byteCount: limits.messageByteCount)
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
    try await writer.write(EncodedMessage(message))
  }

  private static func send(
    snapshot state: CatalogState, through filter: WatchFilter, to writer: RPCWriter<EncodedMessage>,
    byteCount: Int
  ) async throws {
    var count = 0
    var chunk = Wire.WatchResponse()
    chunk.snapshot.version = state.version.rawValue
    for routes in RouteChunks(of: state.routes, through: filter, byteCount: byteCount) {
      chunk.snapshot.routes = routes
      count += routes.count
      try await writer.write(EncodedMessage(chunk))
    }
    chunk.snapshot.routes = []
    chunk.snapshot.last = true
    chunk.snapshot.routeCount = UInt64(count)
    chunk.snapshot.digest = Data(state.digest.bytes)
    if filter == .all { chunk.snapshot.routesDigest = Data(state.routes.digest.bytes) }
    try await writer.write(EncodedMessage(chunk))
  }

  private func sendProgress() async throws {
    let staleness = core.staleness()
    // How fresh the caller is can be told only where it has everything.
    let isNewest = core.store.current.version == cursor
    var message = Wire.WatchResponse()
    message.progress.stamp = Wire.ReadStamp(
      core.stamp(cursor, staleness: isNewest ? staleness : nil))
    try await writer.write(EncodedMessage(message))
  }
}
