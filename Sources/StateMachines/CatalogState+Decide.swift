import Catalog

extension CatalogState {
  /// What is to happen when `command` is carried out in this state, which stays as it is.
  ///
  /// What already is as asked is passed over. `expectedVersion` guards the routes that the command
  /// would change: a route that is already as asked may have become so after that version.
  ///
  /// - Throws: ``Refusal`` when the command is not carried out.
  /// - Complexity: O(*c* log *n*), *c* being the number of changes and *n* that of routes.
  package func decide(_ command: Command) throws(Refusal) -> Decision {
    try checkLimits(of: command)
    if let expected = command.expectedVersion, expected > version {
      throw .versionInFuture(expected: expected, current: version)
    }
    if let origin = command.origin { try checkFence(origin) }
    let expected = command.expectedVersion
    let events: [Event]
    switch command.change {
    case .bootstrap(let seeds):
      events = try bootstrap(seeds)
    case .split(let splits):
      events = try split(splits, expected: expected)
    case .merge(let merges):
      events = try merge(merges, expected: expected)
    case .move(let ids, let group):
      events = try change(ids, expected: expected) { (route) throws(Refusal) in
        guard route.group != group else { return nil }
        try checkTarget(group, for: route)
        return .routeMoved(
          route: route.id, start: route.span.lower, from: route.group, to: group)
      }
    case .setState(let ids, let state):
      events = try change(ids, expected: expected) { (route) throws(Refusal) in
        guard route.state != state else { return nil }
        // A route of a lost region is nobody's to serve before it is promoted or given back.
        if state != .softFailed { try checkHome(of: route) }
        return .routeStateChanged(
          route: route.id, start: route.span.lower, from: route.state, to: state)
      }
    case .setAllowedRegions(let ids, let regions):
      let regions = try allowed(regions)
      events = try change(ids, expected: expected) { (route) throws(Refusal) in
        guard route.allowedRegions != regions else { return nil }
        try checkPlacement(of: route, in: route.group, allowed: regions)
        return .allowedRegionsChanged(
          route: route.id, start: route.span.lower, regions: regions)
      }
    case .arrange(let layout):
      events = try routes.isEmpty ? bootstrap(layout) : arrange(layout, expected: expected)
    case .membership(let change):
      events = try decide(change, expected: expected)
    }
    return events.isEmpty ? .alreadyDone : .append(events)
  }

  private func checkLimits(of command: Command) throws(Refusal) {
    let actorCount = command.actor.utf8.count
    guard actorCount <= LogEntry.maximumTextByteCount else {
      throw .actorTooLong(byteCount: actorCount)
    }
    let reasonCount = command.reason.utf8.count
    guard reasonCount <= LogEntry.maximumTextByteCount else {
      throw .reasonTooLong(byteCount: reasonCount)
    }
    let count = command.change.count
    guard count > 0 else { throw .emptyBatch }
    switch command.change {
    case .bootstrap, .arrange: return
    case .membership(let change):
      if case .setHomes = change, count > RouteChange.maximumCount {
        throw .batchTooLarge(count: count, maximum: RouteChange.maximumCount)
      }
      if !change.isAboutRoutes { return }
    case .split, .merge, .move, .setState, .setAllowedRegions: break
    }
    guard count <= RouteChange.maximumCount else {
      throw .batchTooLarge(count: count, maximum: RouteChange.maximumCount)
    }
    guard !routes.isEmpty else { throw .notBootstrapped }
  }

  private func bootstrap(_ seeds: [RouteSeedRequest]) throws(Refusal) -> [Event] {
    guard routes.isEmpty, routes.nextRouteID == RouteID(1) else {
      throw .alreadyBootstrapped(version: version)
    }
    try checkAscending(seeds)
    var id = routes.nextRouteID
    return [
      .routesBootstrapped(
        try seeds.map { seed throws(Refusal) in
          defer { id = id.next }
          return RouteSeed(
            id: id, start: seed.start, group: seed.group,
            allowedRegions: try allowed(seed.allowedRegions))
        })
    ]
  }

  /// That these can be all routes of a catalog.
  func checkAscending(_ seeds: [RouteSeedRequest]) throws(Refusal) {
    if let first = seeds.first, first.start != .least {
      throw .firstRouteNotAtLeastKey(start: first.start)
    }
    for index in seeds.indices.dropFirst() where seeds[index].start <= seeds[index - 1].start {
      throw .bootstrapNotAscending(
        index: index, previous: seeds[index - 1].start, start: seeds[index].start)
    }
  }

  /// Regions as events have them.
  private func allowed(_ regions: [Region]) throws(Refusal) -> [Region] {
    let sorted = regions.sortedOnce()
    guard sorted.count <= Region.maximumCount else {
      throw .tooManyRegions(count: sorted.count, maximum: Region.maximumCount)
    }
    return sorted
  }

  /// One event for each route for which `event` has one, in key order.
  private func change(
    _ ids: [RouteID], expected: CatalogVersion?,
    to event: (Route) throws(Refusal) -> Event?
  ) throws(Refusal) -> [Event] {
    var changes: [(start: Key, event: Event)] = []
    var stale = StaleRoutes(expected: expected, current: version)
    for id in ids.sortedOnce() {
      let route = try known(id)
      let made: Event?
      do {
        made = try event(route)
      } catch {
        // What the caller did not see explains every other reason, so it is told first.
        guard stale.check(route) else { throw error }
        continue
      }
      guard let event = made else { continue }
      stale.check(route)
      changes.append((route.span.lower, event))
    }
    try stale.refuse()
    changes.sort { $0.start < $1.start }
    return changes.map(\.event)
  }

  /// The route with this id.
  ///
  /// - Throws: A ``Refusal`` that says whether there ever was one.
  func known(_ id: RouteID) throws(Refusal) -> Route {
    if let route = routes.route(id: id) { return route }
    guard id > RouteID(0), id < routes.nextRouteID else {
      throw .noSuchRoute(id, nextRouteID: routes.nextRouteID)
    }
    throw .routeGone(id)
  }
}

/// Gathers the routes that were changed after the version that a caller looked at.
struct StaleRoutes {
  let expected: CatalogVersion?
  let current: CatalogVersion
  private var newer: [Route] = []

  init(expected: CatalogVersion?, current: CatalogVersion) {
    self.expected = expected
    self.current = current
  }

  /// Takes note of a route that the command would change; true when it is newer than the caller's
  /// version.
  @discardableResult
  mutating func check(_ route: Route) -> Bool {
    guard let expected, route.version > expected else { return false }
    // Neighbouring pairs of a merge share a route.
    if newer.count < Refusal.maximumRouteCount, !newer.contains(where: { $0.id == route.id }) {
      newer.append(route)
    }
    return true
  }

  func refuse() throws(Refusal) {
    guard let expected, !newer.isEmpty else { return }
    throw .staleVersion(expected: expected, current: current, newer: newer)
  }
}

extension Array where Element: Comparable {
  /// The elements in ascending order, each once.
  func sortedOnce() -> [Element] {
    guard count > 1 else { return self }
    var result: [Element] = []
    result.reserveCapacity(count)
    for element in sorted() where result.last != element { result.append(element) }
    return result
  }
}
