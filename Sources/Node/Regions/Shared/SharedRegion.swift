import CadastreClient
import CadastreProtocol
import Catalog
import GRPCCore
import Logging
import Replay
import StateMachines
import Synchronization

/// Keeps a region's stream here in step with the one that several nodes share, as `ClusterNode` does with
/// the catalog's: follows it, and leads when it is this node's turn.
///
/// Who leads has folded all of the stream, which nobody else appends to any more, before it leads a group:
/// so it begins at or above each ceiling below which the one before may have issued, and waits for the
/// leases that are on record.
final class SharedRegion: Sendable {
  let stream: RegionStream
  let regions: RegionNode
  let placement: RegionPlacement
  let member: ClusterMember
  let following: FollowOptions

  init(
    _ stream: RegionStream, of regions: RegionNode, on placement: RegionPlacement,
    as member: ClusterMember, following: FollowOptions
  ) {
    self.stream = stream
    self.regions = regions
    self.placement = placement
    self.member = member
    self.following = following
  }

  var core: NodeCore { regions.core }
  var store: RegionStore { stream.store }
  var region: Region { stream.region }
  var isOver: Bool { Task.isCancelled || core.changes.isClosed }

  /// Takes part until the node shuts down, and gives back the lead then.
  func run() async {
    let joined = Mutex<(any SharedStream)?>(nil)
    await untilDone("join the shared stream of region \(region)") { [self] in
      let shared = try await join()
      joined.withLock { $0 = shared }
    }
    guard let shared = joined.withLock({ $0 }) else { return }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.follow(shared) }
      group.addTask { await self.probe(shared) }
      group.addTask { await self.lead(shared) }
      group.addTask { await self.report(to: shared) }
    }
  }

  // MARK: - Joining

  /// Brings the log here and the shared stream together: makes the one that is not there after the other.
  private func join() async throws -> any SharedStream {
    try regions.checkEnabled()
    guard core.staleness() != nil else {
      throw NodeError(
        .unavailable, reason: "catalog_unknown",
        "this node does not know the newest catalog yet, and so not whether region \(region) was lost",
        remedy: "wait until it has caught up with the catalog's leader")
    }
    let epoch = core.store.current.membership.region(region)?.epoch ?? 0
    try check(epoch)
    let shared = placement.stream(region, epoch)
    if case .cluster(let name) = store.keeper, name != shared.name {
      let folder = RegionEventLog.folder(of: region, in: core.store.folder)
      throw StoreError.ofCluster(folder: folder, name)
    }
    if let known = try await shared.catalog() {
      guard known == store.catalog else {
        throw StoreError.otherCatalog(expected: store.catalog, found: known)
      }
    } else {
      try await create(shared, epoch: epoch)
    }
    try await store.share(shared, on: RegionLeadTerms(epoch: epoch, floor: .zero))
    core.logger.info(
      "sharing the stream of region \(region)",
      metadata: ["stream": "\(shared.name)", "epoch": "\(epoch)"])
    return shared
  }

  /// That what is here is of the stream that is led since this epoch.
  private func check(_ epoch: UInt64) throws(NodeError) {
    let isOlder = store.terms.map { $0.epoch < epoch } ?? (epoch > 0)
    if store.current.appliedThrough > .zero, isOlder { throw regions.fenced(region, epoch: epoch) }
    if let terms = store.terms, terms.floor > .zero {
      throw NodeError(
        .failedPrecondition, reason: "region_promoted",
        "the stream of region \(region) was a mirror that was promoted: what its leader may have issued "
          + "before is noted in this folder alone",
        remedy: "lead it from here, without --region-log")
    }
  }

  private func create(_ shared: any SharedStream, epoch: UInt64) async throws {
    guard store.keeper == .leader else {
      throw NodeError(
        .failedPrecondition, reason: "region_stream_missing",
        "\(shared.name) has no stream of region \(region), which this folder shares: another member may have "
          + "more of it",
        remedy: "restore what it was kept on; or \(RegionNode.mirrorRemedy(region))")
    }
    let state = store.current
    if state.appliedThrough == .zero { try await regions.checkUnled(region) }
    if let claim = core.store.current.membership.claim(region), claim.limit > .zero {
      // Who leads from now on does not stop by itself for want of the catalog.
      try await regions.claim(stream, epoch: epoch, replacing: true)
    }
    do throws(SharedStreamError) {
      try await shared.create(
        store.catalog,
        after: LogTail(position: state.appliedThrough, hash: state.lastHash, version: .zero))
    } catch .exists {
      // Another member was first: this one follows.
    }
  }

  // MARK: - Waiting

  /// Tries something, with a pause that grows, until it is done or the node shuts down. `body` is cancelled
  /// then.
  private func untilDone(
    _ what: String, _ body: @escaping @Sendable () async throws -> Void
  ) async {
    var backoff = Backoff(first: following.firstPause, maximum: following.maximumPause)
    var generator = SystemRandomNumberGenerator()
    var told = ""
    while !isOver {
      do {
        _ = try await unless(core.changes, body)
        return
      } catch {
        if isOver { return }
        if error.problem != told { note(.warning, "could not \(what): trying again", error) }
        told = error.problem
      }
      guard await sleep(backoff.next(using: &generator)) else { return }
    }
  }

  /// Sleeps; false when the node shuts down.
  func sleep(_ pause: Duration) async -> Bool {
    (try? await unless(core.changes) { try await Task.sleep(for: pause) }) ?? false
  }

  /// Waits until this node leads the stream, or does not; false when it shuts down first.
  func untilLeading(_ isLeading: Bool) async -> Bool {
    await stream.changes.withSubscription { subscription in
      while !isOver {
        if (stream.leader != nil) == isLeading { return true }
        switch await subscription.wait() {
        case .changed, .due: continue
        case .closed, .cancelled: return false
        }
      }
      return false
    }
  }

  func note(_ level: Logger.Level, _ message: Logger.Message, _ error: any Error) {
    core.logger.log(
      level: level, message,
      metadata: [
        "stream": "\(region)", "position": "\(store.current.appliedThrough)",
        "error": "\(error.problem)", "remedy": "\(remedy(for: error))",
      ])
  }

  private func remedy(for error: any Error) -> String {
    switch error {
    case let error as NodeError: error.detail?.remedy ?? ""
    case let error as StoreError: error.remedy
    case let error as SharedStreamError: error.remedy
    default: ""
    }
  }
}
