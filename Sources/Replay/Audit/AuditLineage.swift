import Catalog
import StateMachines

/// Routes on the way back to their first ancestors, from change to change.
struct Lineage: Sendable {
  enum Follow: Sendable {
    case holders(of: Key)
    case itself
    case ancestors
  }

  /// The change that ended the route that is asked for: told first.
  var end: AuditChange?
  /// Whether a change was met whose entry is no longer kept.
  private(set) var isCut = false
  private let follow: Follow
  /// The routes to go on from, by the version that made them what they are. An entry's are dealt with
  /// together, so that none is told twice.
  private var routes: [CatalogVersion: [RouteID: Route]] = [:]
  /// The versions of ``routes``, as a heap with the latest on top.
  private var versions = MaximumHeap<CatalogVersion>()

  init(_ follow: Follow, from routes: [Route]) {
    self.follow = follow
    for route in routes { add(route) }
  }

  private mutating func add(_ route: Route) {
    if routes[route.version] == nil { versions.insert(route.version) }
    routes[route.version, default: [:]][route.id] = route
  }

  /// What the next entry that made one of the routes did to them; nil when there is none.
  mutating func next(_ reader: AuditReader) throws(AuditError) -> [AuditChange]? {
    if let end {
      self.end = nil
      return [end]
    }
    while let version = versions.removeMaximum() {
      guard let made = routes.removeValue(forKey: version) else { continue }
      let position = try reading { () throws(StoreError) in
        try reader.log.position(of: version)
      }
      guard let position else {
        isCut = true
        continue
      }
      try reader.checkCancelled(after: position)
      let encoded = try reading { () throws(StoreError) in
        guard let encoded = try reader.log.entry(at: position) else {
          throw .gap(expected: position, found: position.next)
        }
        return encoded
      }
      return try changes(made, encoded.entry, reader)
    }
    return nil
  }

  /// What `entry` did to the routes that it made, which then are what they came from.
  private mutating func changes(
    _ made: [RouteID: Route], _ entry: LogEntry, _ reader: AuditReader
  ) throws(AuditError) -> [AuditChange] {
    let plan = RoutePlan(to: Set(made.keys), through: CollectionOfOne(entry))
    let before =
      plan.needed.isEmpty ? [] : try reader.view(before: entry).routes(withIDs: plan.needed)
    var relevant = entry
    relevant.events = plan.events
    var partial = PartialRoutes(before)
    let changes = try partial.changes(of: relevant)
    switch follow {
    case .holders(of: let key):
      let holder = before.first { $0.span.contains(key) }
      if let holder { add(holder) }
      return changes.filter { made[$0.route] != nil }.map { change in
        // The key may have come with a route that was taken in.
        var change = change
        change.before = holder
        if let holder, let kinds = changes.first(where: { $0.route == holder.id })?.kinds {
          change.kinds.formUnion(kinds)
        }
        return change
      }
    case .itself:
      for route in before where made[route.id] != nil { add(route) }
      return changes.filter { made[$0.route] != nil }
    case .ancestors:
      for route in before { add(route) }
      // What was split goes on as another route.
      return changes.filter { made[$0.route] != nil || $0.ownAfter == nil }
    }
  }
}

/// A binary heap. Both operations are O(log *n*).
struct MaximumHeap<Element: Comparable & Sendable>: Sendable {
  private var elements: [Element] = []

  mutating func insert(_ element: Element) {
    elements.append(element)
    var child = elements.count - 1
    while child > 0, elements[(child - 1) / 2] < elements[child] {
      elements.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func removeMaximum() -> Element? {
    guard let last = elements.popLast() else { return nil }
    guard let top = elements.first else { return last }
    elements[0] = last
    var parent = 0
    while true {
      var largest = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < elements.count && elements[largest] < elements[child] { largest = child }
      guard largest != parent else { return top }
      elements.swapAt(parent, largest)
      parent = largest
    }
  }
}
