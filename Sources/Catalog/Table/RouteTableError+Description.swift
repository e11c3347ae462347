extension RouteTableError: CustomStringConvertible {
  /// How the event and the table disagree.
  package var description: String {
    switch self {
    case .notEmpty:
      "the routes are there already, or were"
    case .badSeed(let index):
      "route \(index) does not start where the one before it leaves off, or its id is 0, used or "
        + "the greatest"
    case .noRouteStarts(let start):
      "no route starts at \"\(start)\""
    case .otherRouteStarts(let start, let found, let named):
      "route \(found) starts at \"\(start)\", and not route \(named)"
    case .boundaryOutside(let boundary, let route):
      "\"\(boundary)\" is not inside route \(route)"
    case .routeIDUsed(let id):
      "the route id \(id) was given before, or cannot be given"
    case .notNeighbours(let left, let right):
      "route \(left) does not end where route \(right) starts"
    case .changedElsewhere(let id):
      "route \(id) is not in the group or state from which it is to change"
    case .tooManyRegions(let id, let count):
      "route \(id) is to have \(count) regions, where at most \(Region.maximumCount) are allowed"
    }
  }
}
