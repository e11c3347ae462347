import Catalog
import StateMachines

/// What one entry did to one route.
package struct AuditChange: Hashable, Sendable {
  package var stamp: AuditStamp
  /// The route that was changed, made or taken in.
  package var route: RouteID
  /// The route before the entry; where the entry made it by a split, the route that was split. nil
  /// for the bootstrap.
  package var before: Route?
  /// The route after the entry; where it was taken in by another, that one.
  package var after: Route?
  /// What kinds of events it was.
  package var kinds: Set<EventKind>

  package init(
    stamp: AuditStamp, route: RouteID, before: Route?, after: Route?, kinds: Set<EventKind>
  ) {
    self.stamp = stamp
    self.route = route
    self.before = before
    self.after = after
    self.kinds = kinds
  }

  /// The route itself before the entry; nil when the entry made it.
  var ownBefore: Route? { before?.id == route ? before : nil }
  /// The route itself after the entry; nil when the entry ended it.
  var ownAfter: Route? { after?.id == route ? after : nil }
}

extension PartialRoutes {
  /// Folds an entry of whose events all routes are here, and tells what each route came from and
  /// became, by id.
  mutating func changes(of entry: LogEntry) throws(AuditError) -> [AuditChange] {
    let changed: [ChangedRoute]
    do {
      changed = try apply(entry)
    } catch {
      throw .store(.unproven(entry.position, error))
    }
    guard !changed.isEmpty else { return [] }
    var kinds: [RouteID: Set<EventKind>] = [:]
    var origin: [RouteID: RouteID] = [:]
    var heir: [RouteID: RouteID] = [:]
    for event in entry.events {
      event.forEachRoute { kinds[$0, default: []].insert(EventKind(event)) }
      switch event {
      case .routeSplit(let route, _, _, let newRoute): origin[newRoute] = route
      case .routesMerged(let route, _, _, let absorbed): heir[absorbed] = route
      default: break
      }
    }
    let byID = Dictionary(changed.lazy.map { ($0.id, $0) }) { first, _ in first }
    let stamp = AuditStamp(entry)
    return changed.map { change in
      var (before, after) = (change.before, change.after)
      // A route may be made of one that was made by the same entry.
      var id = change.id
      while before == nil, let next = origin[id] { (id, before) = (next, byID[next]?.before) }
      id = change.id
      while after == nil, let next = heir[id] { (id, after) = (next, byID[next]?.after) }
      return AuditChange(
        stamp: stamp, route: change.id, before: before, after: after,
        kinds: kinds[change.id] ?? [])
    }
  }
}

extension AuditReader {
  /// What each of some entries, which follow one another, changed.
  ///
  /// - Complexity: O(*e*) for *e* events, besides an as-of lookup of the routes that they name.
  func changes(of entries: some Collection<LogEntry>) throws(AuditError) -> [[AuditChange]] {
    guard let first = entries.first(where: \.changesRoutes) else {
      return entries.map { _ in [] }
    }
    var touched: Set<RouteID> = []
    for entry in entries { for event in entry.events { event.forEachRoute { touched.insert($0) } } }
    var routes = PartialRoutes(try view(before: first).routes(withIDs: touched))
    return try entries.map { entry throws(AuditError) in try routes.changes(of: entry) }
  }

  /// The view of the version before an entry that changes routes.
  func view(before entry: LogEntry) throws(AuditError) -> AuditView {
    guard entry.version > .zero else {
      throw .store(.damaged(entry.position, .index("it changes routes and makes no version")))
    }
    return try view(at: CatalogVersion(entry.version.rawValue - 1))
  }
}
