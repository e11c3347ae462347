import Catalog
import StateMachines
import TestSupport

extension RouteChange {
  /// A change that often can be carried out, and often just cannot.
  static func random(
    for routes: [Route], nextRouteID: RouteID, using generator: inout SeededGenerator
  ) -> RouteChange {
    func route(_ generator: inout SeededGenerator) -> RouteID {
      if generator.oneIn(12) {
        return RouteID(UInt64.random(in: 0...nextRouteID.rawValue, using: &generator))
      }
      return routes.randomElement(using: &generator)?.id ?? RouteID(1)
    }
    func some(_ generator: inout SeededGenerator) -> [RouteID] {
      (0..<Int.random(in: 1...4, using: &generator)).map { _ in route(&generator) }
    }
    func key(_ generator: inout SeededGenerator) -> Key {
      if generator.oneIn(6) { return routes.randomElement(using: &generator)?.span.lower ?? .least }
      return generator.oneIn(8)
        ? .random(using: &generator)
        : .random(length: 0...4, alphabet: 0x61...0x64, using: &generator)
    }
    switch Int.random(in: 0..<11, using: &generator) {
    case 0...3:
      let count = generator.oneIn(3) ? 12 : 2
      return .split(
        (0..<Int.random(in: 1...count, using: &generator)).map { _ in
          let at = key(&generator)
          // Mostly the right name, sometimes any.
          let holder = routes.first { $0.span.contains(at) }?.id
          let named = generator.oneIn(3) ? (generator.oneIn(4) ? route(&generator) : holder) : nil
          return SplitRequest(route: named, at: at)
        })
    case 4...6:
      return .merge(
        (0..<Int.random(in: 1...3, using: &generator)).flatMap { _ in
          let index = Int.random(in: 0..<routes.count, using: &generator)
          let left = routes[index].id
          guard !generator.oneIn(12), index + 1 < routes.count else {
            return [MergeRequest(left: left, right: route(&generator))]
          }
          var pairs = [MergeRequest(left: left, right: routes[index + 1].id)]
          if generator.oneIn(3), index + 2 < routes.count {
            pairs.append(MergeRequest(left: routes[index + 2].id, right: routes[index + 1].id))
          }
          return pairs
        })
    case 10:
      // Near what is there, or anything.
      let starts = Set(
        (generator.oneIn(4) ? [] : routes.map(\.span.lower).filter { _ in !generator.oneIn(5) })
          + (0..<Int.random(in: 0...2, using: &generator)).map { _ in key(&generator) })
      return .arrange(
        ([.least] + starts.filter { $0 != .least }.sorted()).map { start in
          let group = routes.last { $0.span.lower <= start }?.group ?? GroupID(1)
          return RouteSeedRequest(
            start: start,
            group: generator.oneIn(6)
              ? GroupID(UInt64.random(in: 1...3, using: &generator)) : group)
        })
    case 7:
      return .move(
        some(&generator), to: GroupID(UInt64.random(in: 1...2, using: &generator)))
    case 8:
      // Mostly back to active, or nothing could be split and merged for long.
      let state =
        generator.oneIn(4) ? RouteState.allCases.randomElement(using: &generator) : .active
      return .setState(
        generator.oneIn(2) ? routes.map(\.id) : some(&generator), to: state ?? .active)
    default:
      let names = generator.oneIn(4) ? ["us-east", "eu-west", "eu-west"] : []
      return .setAllowedRegions(
        generator.oneIn(2) ? routes.map(\.id) : some(&generator),
        to: names.compactMap { try? Region($0) })
    }
  }
}
