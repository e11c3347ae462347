import Catalog
import StateMachines

/// What one version changed.
package struct VersionChange: Hashable, Sendable {
  package var version: CatalogVersion
  /// By id.
  package var routes: [ChangedRoute]

  package init(version: CatalogVersion, routes: [ChangedRoute]) {
    (self.version, self.routes) = (version, routes)
  }

  /// The change as a watcher has to hear of it: a route that the filter lets through no longer is
  /// removed, as one that is no more. nil when nothing of it concerns the watcher, who hears of every
  /// version where nothing is filtered.
  ///
  /// - Precondition: The version is not that of the empty catalog, which nothing changed.
  package func delta(through filter: WatchFilter) -> RouteDelta? {
    var removed: [RouteID] = []
    var upserted: [Route] = []
    for route in routes {
      if let after = route.after, filter.contains(after) {
        upserted.append(after)
      } else if let before = route.before, filter.contains(before) {
        removed.append(route.id)
      }
    }
    guard filter == .all || !removed.isEmpty || !upserted.isEmpty else { return nil }
    upserted.sort { $0.span.lower < $1.span.lower }
    return RouteDelta(
      from: CatalogVersion(version.rawValue - 1), to: version, removed: removed,
      upserted: upserted)
  }
}

extension CatalogStore {
  /// What a version changed; nil unless it and the one before are retained in memory. O(*e* log *n*)
  /// for *e* events.
  package func change(to version: CatalogVersion) -> VersionChange? {
    let pair = writer.published.withHistory { history in
      version > .zero
        ? (history.table(at: CatalogVersion(version.rawValue - 1)), history.version(version))
        : (nil, nil)
    }
    guard let old = pair.0, let new = pair.1 else { return nil }
    return VersionChange(from: old, to: new.table, touching: new.events)
  }
}

extension VersionChange {
  /// The change that folding `events` made of `old`, which is the version before `new`: looks at the
  /// routes that the events name and at no others. O(*e* log *n*) for *e* events.
  package init(from old: RouteTable, to new: RouteTable, touching events: [Event]) {
    guard !old.isEmpty else {
      // The events of a bootstrap need not be there: all that is there is new.
      let routes = new.routes(overlapping: .all)
        .map { ChangedRoute(id: $0.id, before: nil, after: $0) }
      self.init(version: new.version, routes: routes.sorted { $0.id < $1.id })
      return
    }
    var touched: Set<RouteID> = []
    for event in events { event.forEachRoute { touched.insert($0) } }
    let routes = touched.sorted().compactMap { id -> ChangedRoute? in
      let (before, after) = (old.route(id: id), new.route(id: id))
      return before == after ? nil : ChangedRoute(id: id, before: before, after: after)
    }
    self.init(version: new.version, routes: routes)
  }
}
