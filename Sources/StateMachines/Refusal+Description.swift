import Catalog

extension Refusal {
  /// The kind of refusal, as programs name it; never changes.
  package var code: String {
    switch self {
    case .notBootstrapped: "not_bootstrapped"
    case .alreadyBootstrapped: "already_bootstrapped"
    case .firstRouteNotAtLeastKey: "first_route_not_at_least_key"
    case .bootstrapNotAscending: "bootstrap_not_ascending"
    case .emptyBatch: "empty_batch"
    case .batchTooLarge: "batch_too_large"
    case .actorTooLong: "actor_too_long"
    case .reasonTooLong: "reason_too_long"
    case .tooManyRegions: "too_many_regions"
    case .entryTooLong: "entry_too_long"
    case .clockWrong: "clock_wrong"
    case .notEncodable: "not_encodable"
    case .staleVersion: "stale_version"
    case .versionInFuture: "version_in_future"
    case .noSuchRoute: "no_such_route"
    case .routeGone: "route_gone"
    case .routeNotActive: "route_not_active"
    case .splitKeyOutsideRoute: "split_key_outside_route"
    case .routeIDsExhausted: "route_ids_exhausted"
    case .mergeWithItself: "merge_with_itself"
    case .notNeighbours: "not_neighbours"
    case .differentGroups: "different_groups"
    case .differentRegions: "different_regions"
    case .membership(let refusal): refusal.code
    }
  }
}

extension Refusal: CustomStringConvertible {
  /// What is wrong, and what to do about it.
  package var description: String {
    switch self {
    case .notBootstrapped:
      "the catalog has no routes yet: bootstrap it first"
    case .alreadyBootstrapped(let version):
      "the catalog was bootstrapped before and is at version \(version): change its routes with "
        + "split, merge and move"
    case .firstRouteNotAtLeastKey(let start):
      "the first route starts at \"\(start)\", so nobody would own the keys before: let it start "
        + "at \"\""
    case .bootstrapNotAscending(let index, let previous, let start):
      "route \(index) starts at \"\(start)\", which is not after \"\(previous)\", where the route "
        + "before it starts: sort the start keys and name each once"
    case .emptyBatch:
      "the command asks for nothing: name at least one route or key"
    case .batchTooLarge(let count, let maximum):
      "\(count) changes are too many for one command: send at most \(maximum) in each"
    case .actorTooLong(let count):
      "the actor's name takes \(count) bytes: shorten it to \(LogEntry.maximumTextByteCount)"
    case .reasonTooLong(let count):
      "the reason takes \(count) bytes: shorten it to \(LogEntry.maximumTextByteCount)"
    case .tooManyRegions(let count, let maximum):
      "\(count) regions are too many for one route: name at most \(maximum)"
    case .entryTooLong:
      "the command takes more than the \(LogEntry.maximumByteCount) bytes of an entry: send it in "
        + "parts"
    case .clockWrong(let time):
      "the entry would get the time \(time), after the year 2200, and all later ones a later time: "
        + "set the clock of the leader's machine"
    case .notEncodable(let error):
      "the command cannot be written to the log (\(error)): mend what is named there"
    case .staleVersion(let expected, let current, let newer):
      "version \(expected) is old for this: the catalog is at version \(current) and "
        + newer.map(\.brief).joined(separator: ", ")
        + " changed since: look again and send the command with the version that you saw"
    case .versionInFuture(let expected, let current):
      "version \(expected) is not there yet, the catalog is at version \(current): ask whether you "
        + "talk to the catalog that you read from"
    case .noSuchRoute(let id, let next):
      "there is no route \(id), and never was (the next new one is \(next)): look its id up"
    case .routeGone(let id):
      "route \(id) is no more, it was merged into a neighbour: look up who holds its keys"
    case .routeNotActive(let route):
      "\(route.brief) is \(route.state), and only active routes are split or merged: set its "
        + "state to active first, or wait for who changed it"
    case .splitKeyOutsideRoute(let key, let named, let holder):
      "\"\(key)\" is not in \(named.brief): \(holder.brief) holds it; name that one, or none"
    case .routeIDsExhausted:
      "fewer route ids are left than the command needs: no id is given twice, so send fewer splits"
    case .mergeWithItself(let id):
      "route \(id) is to be merged with itself: name two neighbours"
    case .notNeighbours(let left, let right, let between, let count):
      "\(left.brief) and \(right.brief) do not touch: between them "
        + (count == 1 ? "lies " : "lie ")
        + between.map(\.brief).joined(separator: ", ")
        + Refusal.rest(count: count, shown: between.count)
        + "; merge neighbours, from one to the next"
    case .differentGroups(let left, let right):
      "\(left.brief) is in group \(left.group), \(right.brief) in group \(right.group): move one "
        + "to the group of the other first"
    case .differentRegions(let left, let right):
      "\(left.brief) is allowed \(left.allowedRegions.brief), \(right.brief) "
        + "\(right.allowedRegions.brief): give both the same regions first"
    case .membership(let refusal): refusal.description
    }
  }

  private static func rest(count: Int, shown: Int) -> String {
    if count <= shown { return "" }
    if count >= maximumBetweenCount { return " and at least \(count - shown) more" }
    return " and \(count - shown) more"
  }
}

extension Route {
  /// The route as a message names it.
  fileprivate var brief: String { "route \(id) \(span)" }
}

extension [Region] {
  /// Where these regions let a route live, as a message says it.
  fileprivate var brief: String {
    isEmpty ? "anywhere" : "in " + map(\.name).joined(separator: ", ")
  }
}
