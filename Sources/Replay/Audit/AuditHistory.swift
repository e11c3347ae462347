import Catalog
import StateMachines

/// Whose history is asked for.
package enum HistoryScope: Hashable, Sendable {
  /// The route that held the key, whichever it was.
  case key(Key)
  /// The route, and with `ancestors` those that it came from: the one that it was split from, those
  /// that it took in, and so on.
  case route(RouteID, ancestors: Bool)
  case group(GroupID)
  case span(KeySpan)
}

extension AuditReader {
  /// What happened to `scope` up to a version, newest first, back to the first ancestors or to where
  /// the log begins.
  ///
  /// The history of a key or a route follows the version of its last change to the entry, looks up
  /// what was there before, and so on: it costs what changed, not how long the log is. That of a group
  /// or span reads the log backwards.
  package func history(
    _ scope: HistoryScope, through point: AuditPoint
  ) throws(AuditError) -> AuditHistory {
    switch scope {
    case .key(let key):
      let routes = try routes(containing: [key], at: point)
      return AuditHistory(reader: self, .lineage(Lineage(.holders(of: key), from: routes)))
    case .route(let id, let ancestors):
      let follow = ancestors ? Lineage.Follow.ancestors : .itself
      let routes = try view(at: point.version).routes(withIDs: [id])
      guard routes.isEmpty else {
        return AuditHistory(reader: self, .lineage(Lineage(follow, from: routes)))
      }
      let (last, end) = try lastAppearance(of: id, through: point)
      var lineage = Lineage(follow, from: [last])
      lineage.end = end
      return AuditHistory(reader: self, .lineage(lineage))
    case .group(let group):
      return AuditHistory(reader: self, .scan(try log(through: point), .group(group)))
    case .span(let span):
      return AuditHistory(reader: self, .scan(try log(through: point), .span(span)))
    }
  }

  private func log(through point: AuditPoint) throws(AuditError) -> AuditLog {
    var bounds = LogBounds()
    bounds.lastPosition = point.position
    return try entries(in: bounds, newestFirst: true)
  }

  /// A route that is no more at a version, as it was last, and the change that ended it. Reads the
  /// log backwards to there.
  private func lastAppearance(
    of id: RouteID, through point: AuditPoint
  ) throws(AuditError) -> (Route, AuditChange) {
    var log = try log(through: point)
    while let entries = try log.next() {
      for encoded in entries {
        let entry = encoded.entry
        let isEnd = entry.events.contains { event in
          if case .routesMerged(_, _, _, let absorbed) = event { absorbed == id } else { false }
        }
        guard isEnd else { continue }
        // A route that came and went within an entry was never there.
        guard let change = try changes(of: [entry])[0].first(where: { $0.route == id }),
          let route = change.ownBefore
        else { break }
        return (route, change)
      }
    }
    throw .noSuchRoute(id, at: point.version)
  }
}

/// Changes, newest first, page by page.
package struct AuditHistory: Sendable {
  fileprivate enum Source: Sendable {
    case lineage(Lineage)
    case scan(AuditLog, Filter)
  }

  fileprivate enum Filter: Sendable {
    case group(GroupID)
    case span(KeySpan)
  }

  private let reader: AuditReader
  private var source: Source
  /// Whether there was more, of which the entries are no longer kept.
  package private(set) var isCut = false

  fileprivate init(reader: AuditReader, _ source: Source) {
    (self.reader, self.source) = (reader, source)
  }

  /// The next changes; nil after the last. A page may be empty. `limit` is kept roughly: an entry's
  /// changes come together.
  package mutating func next(limit: Int = 256) throws(AuditError) -> [AuditChange]? {
    switch source {
    case .lineage(var lineage):
      var changes: [AuditChange] = []
      while changes.count < limit {
        guard let more = try lineage.next(reader) else { break }
        changes += more
      }
      (source, isCut) = (.lineage(lineage), lineage.isCut)
      return changes.isEmpty ? nil : changes
    case .scan(var log, let filter):
      guard let entries = try log.next() else {
        isCut = try reader.ends().base != nil
        return nil
      }
      source = .scan(log, filter)
      let changes = try reader.changes(of: entries.reversed().map(\.entry))
      return changes.reversed().flatMap { changes in
        changes.filter { change in
          switch filter {
          case .group(let group): change.isIn(group)
          case .span(let span): change.isIn(span)
          }
        }
      }
    }
  }
}
