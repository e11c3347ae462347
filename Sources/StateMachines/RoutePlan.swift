import Catalog

/// Which routes of an earlier table, and which events since, make some routes what they are.
///
/// Made by going through the events backwards: a route that a split made needs the route that was
/// split, one that took in another needs both, and what no wanted route comes from is left out.
package struct RoutePlan: Sendable {
  /// The routes of the table before the events that are needed. Some of them the table may not have,
  /// where a wanted one never was.
  package private(set) var needed: Set<RouteID>
  private var wanted: Set<RouteID>

  private struct Step: Sendable {
    var event: Event
    var index: Int
    var position: LogPosition
    var version: CatalogVersion
    var time: HybridTimestamp
  }

  /// The events that matter, last first.
  private var steps: [Step] = []

  /// The events that matter, in their order.
  package var events: [Event] { steps.reversed().map(\.event) }

  /// Plans how to get from the table before `entries` to `routes` as they are after the last.
  /// O(*e*) for *e* events.
  package init(
    to routes: Set<RouteID>, through entries: some BidirectionalCollection<LogEntry>
  ) {
    wanted = routes
    needed = routes
    for entry in entries.reversed() {
      for index in entry.events.indices.reversed() where needs(entry.events[index]) {
        steps.append(
          Step(
            event: entry.events[index], index: index, position: entry.position,
            version: entry.version, time: entry.time))
      }
    }
  }

  /// Whether a route that is needed after the event comes from it; ``needed`` is then what is needed
  /// before.
  private mutating func needs(_ event: Event) -> Bool {
    switch event {
    case .routesBootstrapped(let seeds):
      guard seeds.contains(where: { needed.contains($0.id) }) else { return false }
      // The table before has no routes.
      needed.removeAll()
      return true
    case .routeSplit(let route, _, _, let newRoute):
      guard needed.remove(newRoute) != nil else { return needed.contains(route) }
      needed.insert(route)
      return true
    case .routesMerged(let route, _, _, let absorbed):
      // No later event makes the route again, whoever asks for it.
      wanted.remove(absorbed)
      needed.remove(absorbed)
      guard needed.contains(route) else { return false }
      needed.insert(absorbed)
      return true
    case .routeMoved(let route, _, _, _), .routeStateChanged(let route, _, _, _),
      .allowedRegionsChanged(let route, _, _):
      return needed.contains(route)
    case .catalogCommitted, .logTrimmed, .region, .membership:
      return false
    }
  }

  /// The wanted routes that there are, as they are after the entries, given the ``needed`` ones of
  /// the table before.
  ///
  /// - Throws: ``EvolveError/doesNotApply(_:event:_:)`` when an event does not fit the routes: they
  ///   are not those of the table, or the entries not those that follow it.
  /// - Complexity: O(*e*) for *e* events that matter.
  package func fold(onto routes: some Sequence<Route>) throws(EvolveError) -> [Route] {
    var partial = PartialRoutes(routes)
    for step in steps.reversed() {
      do {
        try partial.apply(step.event, version: step.version, time: step.time)
      } catch {
        throw .doesNotApply(step.position, event: step.index, error)
      }
    }
    return wanted.compactMap { partial[$0] }
  }
}
