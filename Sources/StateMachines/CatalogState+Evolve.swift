import Catalog

extension CatalogState {
  /// Folds the next committed entry into the catalog. All or nothing. An entry at a position that
  /// was applied before changes nothing, so that a log may be sent again from anywhere. `hash` is
  /// that of the entry's bytes.
  ///
  /// - Throws: ``EvolveError`` unless the entry continues the chain, its time and version follow
  ///   those before, its events fit the routes and the state after it has its digest.
  /// - Complexity: O(*e* log *n*), *e* being the number of events and *n* that of routes.
  package mutating func evolve(_ entry: LogEntry, hash: EntryHash) throws(EvolveError) {
    guard entry.position > appliedThrough else {
      // Sent again after a reconnect. Of the entries before the last one the hash is not known.
      if entry.position == appliedThrough, appliedThrough > .zero, hash != lastHash {
        throw .forked(entry.position, applied: lastHash, found: hash)
      }
      return
    }
    try end.check(entry)
    let next: RouteTable
    do {
      next = try routes.folding(entry.events, time: entry.time)
    } catch {
      throw .doesNotApply(entry.position, event: error.index, error.error)
    }
    let members = try membership(after: entry)
    let digest = CatalogState.digest(of: next, members)
    guard entry.digest == digest || !Guard.digest.isOn else {
      throw .diverged(entry.position, expected: entry.digest, found: digest)
    }
    moveOn(to: entry, hash: hash, routes: next, membership: members)
  }

  /// Folds the next committed entry into the catalog; see ``evolve(_:hash:)``.
  package mutating func evolve(_ encoded: EncodedEntry) throws(EvolveError) {
    try evolve(encoded.entry, hash: encoded.hash)
  }

  /// The membership with an entry's events folded in.
  private func membership(after entry: LogEntry) throws(EvolveError) -> Membership {
    var next = membership
    do {
      try next.fold(entry.events, in: routes.store)
    } catch {
      throw .doesNotFitMembers(entry.position, event: error.index, error.error)
    }
    return next
  }

  /// - Precondition: `routes` and `membership` are what the entry makes of those before.
  mutating func moveOn(
    to entry: LogEntry, hash: EntryHash, routes: RouteTable, membership: Membership
  ) {
    self.routes = routes
    self.membership = membership
    appliedThrough = entry.position
    lastHash = hash
    lastTime = entry.time
    digest = entry.digest
  }
}

/// The event that does not fit, by its index in the entry, and why.
struct EventError: Error {
  let index: Int
  let error: RouteTableError
}

extension RouteTable {
  /// The next version: this one with `events` folded in. Without events that change routes there is
  /// no next version.
  func folding(_ events: [Event], time: HybridTimestamp) throws(EventError) -> RouteTable {
    guard events.contains(where: \.changesRoutes) else { return self }
    var next = self
    try next.edit(version: version.next, time: time) { editor throws(EventError) in
      for index in events.indices {
        do throws(RouteTableError) {
          try editor.apply(events[index])
        } catch {
          throw EventError(index: index, error: error)
        }
      }
    }
    return next
  }
}

extension RouteTable.Editor {
  /// What an event does to the routes.
  mutating func apply(_ event: Event) throws(RouteTableError) {
    switch event {
    case .routesBootstrapped(let seeds):
      try bootstrap(seeds)
    case .routeSplit(let route, let start, let boundary, let newRoute):
      try split(route: route, start: start, boundary: boundary, newRoute: newRoute)
    case .routesMerged(let route, let start, let boundary, let absorbed):
      try merge(route: route, start: start, boundary: boundary, absorbed: absorbed)
    case .routeMoved(let route, let start, let from, let to):
      try move(route: route, start: start, from: from, to: to)
    case .routeStateChanged(let route, let start, let from, let to):
      try setState(route: route, start: start, from: from, to: to)
    case .allowedRegionsChanged(let route, let start, let regions):
      try setAllowedRegions(route: route, start: start, to: regions)
    case .catalogCommitted, .logTrimmed, .region, .membership:
      break
    }
  }
}
