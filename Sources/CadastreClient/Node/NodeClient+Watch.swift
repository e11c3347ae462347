import CadastreProtocol
import Catalog
import GRPCCore

/// What a watch tells, in order.
package enum WatchEvent: Sendable {
  /// The watch begins after `version`; with a `reset` drop what you have, a snapshot of that
  /// version comes first. Says why.
  case started(CatalogID, CatalogVersion, reset: String?)
  /// Some of the routes of the snapshot, in key order; it is whole once its end has come.
  case snapshot(CatalogVersion, [Route], end: SnapshotEnd?)
  /// What one version changed.
  case delta(RouteDelta)
  /// What the routes of the version that was just told, whole, add up to. Comes after most versions,
  /// and after every one that is the newest; never with a filter.
  case digest(CatalogVersion, StateDigest)
  /// Nothing has happened after this version that was not told.
  case progress(ReadStamp)
}

/// What makes a snapshot whole.
package struct SnapshotEnd: Hashable, Sendable {
  /// How many routes it has in all.
  package var routeCount: UInt64
  /// The digest of the state.
  package var digest: StateDigest

  /// The digest of its routes; nil with a filter, and from a node that knows none.
  package var routesDigest: StateDigest?

  package init(routeCount: UInt64, digest: StateDigest, routesDigest: StateDigest? = nil) {
    self.routeCount = routeCount
    self.digest = digest
    self.routesDigest = routesDigest
  }
}

extension NodeClient {
  /// Tells `body` every change after `version`, each version whole, once, in order. Runs until the
  /// stream breaks, the task is cancelled or `body` throws; watch again from the last version that
  /// was told. Without a version it begins with a snapshot. `progress` is how often to tell that
  /// nothing changed; nil leaves that to the node. With a filter the versions that do not concern it
  /// are left out, and what it lets through no longer is removed; a node that knows no filters tells
  /// everything.
  ///
  /// - Throws: ``NodeError`` when the stream ended; or what `body` throws.
  package func watch(
    from version: CatalogVersion?, filter: WatchFilter = .all, progress: Duration? = nil,
    deadline: Duration? = nil,
    _ body: @escaping @Sendable (WatchEvent) async throws -> Void
  ) async throws {
    var request = Wire.WatchRequest()
    if let version { request.fromVersion = version.rawValue }
    request.progressIntervalMs = progress?.wholeMilliseconds ?? 0
    switch filter {
    case .all: break
    case .span(let span): request.span = Wire.KeySpan(span)
    case .group(let group): request.groupID = group.rawValue
    }
    let address = address
    let (message, options) = (request, options(deadline))
    try await streaming(address) {
      try await watches.watch(message, options: options) { response in
        var reader = WatchReader()
        for try await message in response.messages {
          for event in try reader.events(in: message) { try await body(event) }
        }
        throw NodeError(.unavailable, "\(address) ended the watch")
      }
    }
  }
}

/// Makes events of a watch's messages; holds back a version until all of it is there.
package struct WatchReader {
  private var version = CatalogVersion.zero
  private var isFiltered = false
  private var partial: Wire.VersionDelta?

  package init() {}

  package mutating func events(
    in message: Wire.WatchResponse
  ) throws(MalformedMessage) -> [WatchEvent] {
    switch message.kind {
    case .started(let started):
      version = CatalogVersion(started.version)
      isFiltered = started.filtered
      partial = nil
      return [
        .started(
          try fixed("catalog_id", started.catalogID), version,
          reset: started.reset ? started.resetReason : nil)
      ]
    case .snapshot(let chunk):
      let end: SnapshotEnd? =
        chunk.last
        ? SnapshotEnd(
          routeCount: chunk.routeCount, digest: try fixed("digest", chunk.digest),
          routesDigest: chunk.routesDigest.isEmpty
            ? nil : try fixed("routes_digest", chunk.routesDigest))
        : nil
      return [.snapshot(CatalogVersion(chunk.version), try routes(chunk.routes), end: end)]
    case .deltas(let batch):
      var events: [WatchEvent] = []
      for delta in batch.deltas {
        guard let whole = try whole(delta) else { continue }
        events.append(.delta(whole))
        if !delta.routesDigest.isEmpty {
          events.append(.digest(whole.to, try fixed("routes_digest", delta.routesDigest)))
        }
      }
      return events
    case .progress(let progress):
      let stamp = progress.stamp.value
      // A bookmark: what came before it and was left out does not concern the caller.
      if isFiltered { version = max(version, stamp.version) }
      return [.progress(stamp)]
    case nil:
      // A kind of message that a later version knows.
      return []
    }
  }

  private mutating func whole(
    _ delta: Wire.VersionDelta
  ) throws(MalformedMessage) -> RouteDelta? {
    // A version from outside may be the last number that there is.
    let (next, overflows) = version.rawValue.addingReportingOverflow(1)
    guard !overflows, isFiltered ? delta.version >= next : delta.version == next,
      partial.map({ $0.version == delta.version }) ?? true
    else {
      throw MalformedMessage("version \(delta.version) came after version \(version)")
    }
    var whole = partial ?? delta
    if partial != nil {
      whole.removedIds += delta.removedIds
      whole.upserted += delta.upserted
    }
    partial = delta.partial ? whole : nil
    guard !delta.partial else { return nil }
    let from = version
    version = CatalogVersion(delta.version)
    return RouteDelta(
      from: from, to: version, removed: whole.removedIds.map(RouteID.init),
      upserted: try routes(whole.upserted))
  }

  private func routes(_ routes: [Wire.Route]) throws(MalformedMessage) -> [Route] {
    var values: [Route] = []
    values.reserveCapacity(routes.count)
    for route in routes { values.append(try route.value()) }
    return values
  }
}
