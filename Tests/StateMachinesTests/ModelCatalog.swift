import Catalog
import StateMachines

/// The dumb twin: routes in an array, every question a scan, each change of one route at a time.
struct ModelCatalog {
  var routes: [Route] = []
  var nextRouteID = RouteID(1)
  var version = CatalogVersion.zero

  /// What becomes of a command: why it may be refused, or the routes afterwards.
  enum Outcome: Equatable {
    /// One of these codes.
    case refused(Set<String>)
    case alreadyDone
    case changed
  }

  /// Carries `command` out unless something speaks against it.
  mutating func perform(_ command: Command, time: HybridTimestamp) -> Outcome {
    var next = self
    next.version = version.next
    var reasons: Set<String> = []
    if let expected = command.expectedVersion, expected > version {
      return .refused(["version_in_future"])
    }
    guard !routes.isEmpty else { return .refused(["not_bootstrapped"]) }

    func stale(_ route: Route) {
      if let expected = command.expectedVersion, route.version > expected {
        reasons.insert("stale_version")
      }
    }
    func original(_ id: RouteID) -> Route? {
      if let route = routes.first(where: { $0.id == id }) { return route }
      reasons.insert(id > RouteID(0) && id < nextRouteID ? "route_gone" : "no_such_route")
      return nil
    }
    /// Changes the route with this id in the next version.
    func update(_ id: RouteID, _ change: (inout Route) -> Void) {
      for index in next.routes.indices where next.routes[index].id == id {
        change(&next.routes[index])
        next.routes[index].version = next.version
        next.routes[index].changedAt = time
      }
    }

    var changes = 0
    switch command.change {
    case .bootstrap:
      reasons.insert("already_bootstrapped")
    case .split(let splits):
      for split in splits.sorted(by: { $0.at < $1.at }) {
        guard !routes.contains(where: { $0.span.lower == split.at }) else { continue }
        guard let holder = routes.first(where: { $0.span.contains(split.at) }) else { continue }
        if let named = split.route, named != holder.id, original(named) != nil {
          reasons.insert("split_key_outside_route")
        }
        stale(holder)
        if holder.state != .active { reasons.insert("route_not_active") }
        guard !next.routes.contains(where: { $0.span.lower == split.at }) else { continue }
        guard let index = next.routes.firstIndex(where: { $0.span.contains(split.at) }) else {
          continue
        }
        var right = next.routes[index]
        right.parent = right.id
        right.id = next.nextRouteID
        right.span = KeySpan(unchecked: split.at, right.span.upper)
        update(next.routes[index].id) { $0.span = KeySpan(unchecked: $0.span.lower, split.at) }
        next.routes.insert(right, at: index + 1)
        update(right.id) { _ in }
        next.nextRouteID = next.nextRouteID.next
        changes += 1
      }
    case .merge(let merges):
      var boundaries: Set<Key> = []
      for merge in merges {
        if merge.left == merge.right { reasons.insert("merge_with_itself") }
        guard let one = original(merge.left), let other = original(merge.right) else { continue }
        let (left, right) = one.span.lower < other.span.lower ? (one, other) : (other, one)
        stale(left)
        stale(right)
        if left.span.upper != right.span.lower { reasons.insert("not_neighbours") }
        if left.state != .active || right.state != .active { reasons.insert("route_not_active") }
        if left.group != right.group { reasons.insert("different_groups") }
        if left.allowedRegions != right.allowedRegions { reasons.insert("different_regions") }
        boundaries.insert(right.span.lower)
      }
      for boundary in boundaries {
        guard let index = next.routes.firstIndex(where: { $0.span.lower == boundary }), index > 0
        else { continue }
        let right = next.routes.remove(at: index)
        update(next.routes[index - 1].id) {
          $0.span = KeySpan(unchecked: $0.span.lower, right.span.upper)
        }
        changes += 1
      }
    case .arrange(let layout):
      let starts = Set(layout.map(\.start))
      func isWhole(_ route: Route) -> Bool {
        starts.contains(route.span.lower) && (route.span.upper.map(starts.contains) ?? true)
          && !starts.contains { $0 > route.span.lower && route.span.contains($0) }
      }
      // What begins or ends elsewhere than before was cut or taken in.
      for route in routes where !isWhole(route) {
        stale(route)
        if route.state != .active { reasons.insert("route_not_active") }
      }
      for (index, target) in layout.enumerated() {
        let upper = index + 1 < layout.count ? layout[index + 1].start : nil
        let span = KeySpan(unchecked: target.start, upper)
        if let there = routes.first(where: { $0.span.lower == target.start }) {
          guard there.span != span || there.group != target.group else { continue }
          if there.group != target.group { stale(there) }
          update(there.id) { ($0.span, $0.group) = (span, target.group) }
          changes += 1
        } else {
          changes += 1
        }
      }
      for route in routes where !starts.contains(route.span.lower) {
        next.routes.removeAll { $0.id == route.id }
        changes += 1
      }
      for (index, target) in layout.enumerated()
      where !routes.contains(where: { $0.span.lower == target.start }) {
        guard let before = next.routes.lastIndex(where: { $0.span.lower < target.start }) else {
          continue
        }
        var cut = next.routes[before]
        cut.parent = cut.id
        cut.id = next.nextRouteID
        cut.span = KeySpan(
          unchecked: target.start, index + 1 < layout.count ? layout[index + 1].start : nil)
        cut.group = target.group
        next.routes.insert(cut, at: before + 1)
        update(cut.id) { _ in }
        next.nextRouteID = next.nextRouteID.next
      }
    case .move(let ids, let group):
      for id in ids {
        guard let route = original(id), route.group != group else { continue }
        stale(route)
        update(id) { $0.group = group }
        changes += 1
      }
    case .setState(let ids, let state):
      for id in ids {
        guard let route = original(id), route.state != state else { continue }
        stale(route)
        update(id) { $0.state = state }
        changes += 1
      }
    case .setAllowedRegions(let ids, let regions):
      let regions = Set(regions).sorted()
      for id in ids {
        guard let route = original(id), route.allowedRegions != regions else { continue }
        stale(route)
        update(id) { $0.allowedRegions = regions }
        changes += 1
      }
    case .membership:
      preconditionFailure("members have a twin of their own")
    }
    guard reasons.isEmpty else { return .refused(reasons) }
    guard changes > 0 else { return .alreadyDone }
    self = next
    return .changed
  }
}
