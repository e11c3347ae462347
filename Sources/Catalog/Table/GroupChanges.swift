/// Changes of the index by group that are still to be made: which routes are to be there, and which not.
struct GroupChanges: Sendable {
  struct Change: Sendable {
    var group: GroupID
    var route: RouteID
    var isThere: Bool
    /// Counts up: of several changes of one entry the last counts.
    var order: Int
  }

  /// So many are gathered: some for each leaf where routes of a thousand groups change, and few enough
  /// to stay in the cache.
  static let capacity = 16_384

  private var changes: [Change] = []

  var count: Int { changes.count }

  mutating func add(_ group: GroupID, _ route: RouteID, _ isThere: Bool) {
    changes.append(Change(group: group, route: route, isThere: isThere, order: changes.count))
  }

  /// What is to be done, in the order of the index's keys, each key once; nothing is left.
  mutating func takeAll() -> [Change] {
    var sorted = changes
    changes.removeAll(keepingCapacity: true)
    sorted.sort {
      ($0.group.rawValue, $0.route.rawValue, $0.order)
        < ($1.group.rawValue, $1.route.rawValue, $1.order)
    }
    var last = 0
    for index in sorted.indices.dropFirst() {
      if sorted[index].group != sorted[last].group || sorted[index].route != sorted[last].route {
        last += 1
      }
      sorted[last] = sorted[index]
    }
    if !sorted.isEmpty { sorted.removeSubrange((last + 1)...) }
    return sorted
  }
}
