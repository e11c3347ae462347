import CadastreClient
import Catalog
import Replay
import StateMachines

@testable import Node

/// What one watcher heard, stream by stream.
struct WatchRecord: Sendable {
  struct Stream: Sendable {
    /// The version that was asked to go on from.
    var from: CatalogVersion?
    var events: [WatchEvent] = []
  }

  var filter: WatchFilter
  var streams: [Stream] = []

  /// The version that the watcher has by now: all that is whole.
  var version: CatalogVersion? { streams.lazy.reversed().compactMap(\.reached).first }
}

extension WatchRecord.Stream {
  /// The last version of which all was heard in this stream, or that it began with.
  var reached: CatalogVersion? {
    for event in events.reversed() {
      switch event {
      case .delta(let delta): return delta.to
      case .progress(let stamp): return stamp.version
      case .snapshot(let version, _, end: .some): return version
      case .snapshot, .digest: continue
      case .started(_, let version, reset: nil): return version
      // What was there before counts until the snapshot is whole.
      case .started: return from
      }
    }
    return from
  }
}

/// What really happened: the routes at every version, from the empty catalog on.
struct WatchTruth: Sendable {
  var tables: [[Route]] = [[]]

  var newest: CatalogVersion { CatalogVersion(UInt64(tables.count - 1)) }

  func routes(_ version: CatalogVersion, _ filter: WatchFilter) -> [Route] {
    tables[Int(version.rawValue)].filter(filter.contains)
  }

  /// What a watcher has to hear of a version; nil when nothing of it concerns the watcher.
  func delta(to version: CatalogVersion, _ filter: WatchFilter) -> RouteDelta? {
    let before = routes(CatalogVersion(version.rawValue - 1), filter)
    let after = routes(version, filter)
    let removed = Set(before.map(\.id)).subtracting(after.map(\.id)).sorted()
    let old = Set(before)
    let upserted = after.filter { !old.contains($0) }
    guard filter == .all || !removed.isEmpty || !upserted.isEmpty else { return nil }
    return RouteDelta(
      from: CatalogVersion(version.rawValue - 1), to: version, removed: removed, upserted: upserted)
  }
}

/// What a watch promises: the seven properties that etcd's robustness tests ask of one. Each is checked
/// for itself, and says what broke it, or nil.
///
/// See https://etcd.io/docs/v3.5/learning/api_guarantees/#watch-apis
enum WatchProperty: String, CaseIterable, Sendable {
  /// Nothing is told that was not asked for.
  case filtered
  /// After a bookmark nothing comes that is not later, and nothing before it was left out.
  case bookmarkable
  /// Versions rise within a stream.
  case ordered
  /// No version is told twice, over all streams, but after a reset.
  case unique
  /// A version is told whole.
  case atomic
  /// Within a stream no version is left out.
  case reliable
  /// A stream goes on right after what the one before it had told.
  case resumable

  func violation(in record: WatchRecord, _ truth: WatchTruth) -> String? {
    switch self {
    case .filtered: record.firstProblem { $0.foreignRoute(record.filter, truth) }
    case .bookmarkable: record.firstProblem { $0.brokenBookmark(record.filter, truth) }
    case .ordered: record.firstProblem { $0.disorder() }
    case .unique: record.repeated()
    case .atomic: record.firstProblem { $0.partialVersion(record.filter, truth) }
    case .reliable: record.firstProblem { $0.gap(record.filter, truth) }
    case .resumable: record.brokenResumption(truth)
    }
  }
}

extension WatchRecord {
  fileprivate func firstProblem(_ problem: (Stream) -> String?) -> String? {
    streams.lazy.compactMap(problem).first
  }

  fileprivate func repeated() -> String? {
    var told: Set<CatalogVersion> = []
    for event in streams.flatMap(\.events) {
      switch event {
      case .started(_, _, reset: .some): told = []
      case .delta(let delta):
        guard told.insert(delta.to).inserted else { return "version \(delta.to) came twice" }
      default: break
      }
    }
    return nil
  }

  fileprivate func brokenResumption(_ truth: WatchTruth) -> String? {
    for (index, stream) in streams.enumerated() {
      guard case .started(_, let version, nil)? = stream.events.first else { continue }
      guard version == stream.from else {
        return "a stream from \(stream.from?.description ?? "nothing") began at \(version)"
      }
      let before = streams[..<index].lazy.reversed().compactMap(\.reached).first
      guard before == nil || before == version else {
        return "version \(before ?? .zero) was there, a stream went on from \(version)"
      }
      guard let first = stream.deltas.first(where: { _ in true })?.to else { continue }
      if let missed = truth.missed(after: version, before: first, filter) {
        return "after version \(version) came \(first) and not \(missed)"
      }
    }
    return nil
  }
}

extension WatchRecord.Stream {
  fileprivate var deltas: [RouteDelta] {
    events.compactMap { if case .delta(let delta) = $0 { delta } else { nil } }
  }

  fileprivate func foreignRoute(_ filter: WatchFilter, _ truth: WatchTruth) -> String? {
    for event in events {
      switch event {
      case .snapshot(let version, let routes, _):
        if let route = routes.first(where: { !filter.contains($0) }) {
          return "the snapshot of version \(version) has route \(route.id)"
        }
      case .delta(let delta):
        if let route = delta.upserted.first(where: { !filter.contains($0) }) {
          return "version \(delta.to) has route \(route.id)"
        }
        let before = Set(
          truth.routes(CatalogVersion(delta.to.rawValue - 1), filter).map(\.id))
        if let id = delta.removed.first(where: { !before.contains($0) }) {
          return "version \(delta.to) removes route \(id), which was not asked for"
        }
      case .started, .digest, .progress: break
      }
    }
    return nil
  }

  /// Tells `body` every delta and bookmark with the version that was there before it.
  fileprivate func walk(
    _ body: (_ before: CatalogVersion, _ told: CatalogVersion, _ isBookmark: Bool) -> String?
  ) -> String? {
    var version = CatalogVersion.zero
    for event in events {
      switch event {
      case .started(_, let start, _): version = start
      case .snapshot, .digest: break
      case .delta(let delta):
        if let problem = body(version, delta.to, false) { return problem }
        version = delta.to
      case .progress(let stamp):
        if let problem = body(version, stamp.version, true) { return problem }
        version = max(version, stamp.version)
      }
    }
    return nil
  }

  fileprivate func brokenBookmark(_ filter: WatchFilter, _ truth: WatchTruth) -> String? {
    var bookmark = CatalogVersion.zero
    return walk { before, told, isBookmark in
      if isBookmark {
        guard told >= before else { return "the bookmark \(told) came after version \(before)" }
        bookmark = told
        return truth.missed(after: before, before: told.next, filter)
          .map { "the bookmark \(told) came without version \($0)" }
      }
      return told <= bookmark ? "version \(told) came after the bookmark \(bookmark)" : nil
    }
  }

  fileprivate func disorder() -> String? {
    walk { before, told, isBookmark in
      isBookmark || told > before ? nil : "version \(told) came after version \(before)"
    }
  }

  fileprivate func gap(_ filter: WatchFilter, _ truth: WatchTruth) -> String? {
    walk { before, told, isBookmark in
      truth.missed(after: before, before: isBookmark ? told.next : told, filter).map {
        "version \(told) came after version \(before), without \($0)"
      }
    }
  }

  fileprivate func partialVersion(_ filter: WatchFilter, _ truth: WatchTruth) -> String? {
    for delta in deltas {
      let expected = truth.delta(to: delta.to, filter)
      guard expected?.removed == delta.removed, expected?.upserted == delta.upserted else {
        return "version \(delta.to) was told as \(delta), and is \(String(describing: expected))"
      }
    }
    // A snapshot is a version too.
    var snapshot: [Route] = []
    for event in events {
      switch event {
      case .started: snapshot = []
      case .snapshot(let version, let routes, let end):
        snapshot += routes
        guard let end else { continue }
        let routes = snapshot.sorted { $0.span.lower < $1.span.lower }
        guard routes == truth.routes(version, filter), end.routeCount == UInt64(routes.count) else {
          return "the snapshot of version \(version) is not that version"
        }
      case .delta, .digest, .progress: break
      }
    }
    return nil
  }
}

extension WatchTruth {
  /// The first version between two that the watcher should have heard of.
  fileprivate func missed(
    after start: CatalogVersion, before end: CatalogVersion, _ filter: WatchFilter
  ) -> CatalogVersion? {
    guard start.next < end else { return nil }
    return (start.next.rawValue..<end.rawValue).lazy.map { CatalogVersion($0) }
      .first { delta(to: $0, filter) != nil }
  }
}
