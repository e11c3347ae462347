import Catalog

extension Event {
  /// The event as `--json` writes it.
  var json: JSON {
    var fields: [(name: String, value: JSON)]
    switch self {
    case .routesBootstrapped(let seeds):
      let routes = seeds.map { seed -> JSON in
        .object(
          [("id", JSON(seed.id))] + JSON.fields("start", seed.start) + [
            ("group", JSON(seed.group)),
            ("allowed_regions", .array(seed.allowedRegions.map { .string($0.name) })),
          ])
      }
      fields = [("kind", "routes-bootstrapped"), ("routes", .array(routes))]
    case .routeSplit(let route, let start, let boundary, let newRoute):
      fields = [("kind", "route-split"), ("route", JSON(route))]
      fields += JSON.fields("start", start) + JSON.fields("boundary", boundary)
      fields += [("new_route", JSON(newRoute))]
    case .routesMerged(let route, let start, let boundary, let absorbed):
      fields = [("kind", "routes-merged"), ("route", JSON(route))]
      fields += JSON.fields("start", start) + JSON.fields("boundary", boundary)
      fields += [("absorbed", JSON(absorbed))]
    case .routeMoved(let route, let start, let from, let to):
      fields = [("kind", "route-moved"), ("route", JSON(route))] + JSON.fields("start", start)
      fields += [("from", JSON(from)), ("to", JSON(to))]
    case .routeStateChanged(let route, let start, let from, let to):
      fields = [("kind", "route-state-changed"), ("route", JSON(route))]
      fields += JSON.fields("start", start)
      fields += [("from", .string(from.description)), ("to", .string(to.description))]
    case .allowedRegionsChanged(let route, let start, let regions):
      fields = [("kind", "allowed-regions-changed"), ("route", JSON(route))]
      fields += JSON.fields("start", start)
      fields += [("regions", .array(regions.map { .string($0.name) }))]
    case .catalogCommitted(let commitment):
      fields = [
        ("kind", "catalog-committed"), ("version", JSON(commitment.version)),
        ("position", JSON(commitment.position)),
        ("routes_root", .string(commitment.routesRoot.description)),
        ("log_root", .string(commitment.logRoot.description)),
      ]
    case .logTrimmed(let marker):
      fields = [
        ("kind", "log-trimmed"), ("through", JSON(marker.through)),
        ("hash", .string(marker.hash.description)), ("version", JSON(marker.version)),
        ("digest", .string(marker.digest.description)), ("policy", .string(marker.policy)),
        ("public_key", .string(marker.publicKey.description)),
        ("signature", .string(marker.signature.description)),
      ]
    case .region(let event): return event.json
    case .membership(let event):
      fields = event.fields
    }
    return .object(fields)
  }

  /// The event in one line, for people.
  var text: String {
    switch self {
    case .routesBootstrapped(let seeds):
      "bootstrap of \(grouped(seeds.count)) route\(seeds.count == 1 ? "" : "s")"
    case .routeSplit(let route, let start, let boundary, let newRoute):
      "split route \(route) (from \(quoted(start))) at \(quoted(boundary)): new route \(newRoute)"
    case .routesMerged(let route, let start, let boundary, let absorbed):
      "merge into route \(route) (from \(quoted(start))): route \(absorbed) from \(quoted(boundary))"
    case .routeMoved(let route, let start, let from, let to):
      "move route \(route) (from \(quoted(start))) from group \(from) to group \(to)"
    case .routeStateChanged(let route, let start, let from, let to):
      "route \(route) (from \(quoted(start))) goes from \(from) to \(to)"
    case .allowedRegionsChanged(let route, let start, let regions):
      "route \(route) (from \(quoted(start))) may live in "
        + (regions.isEmpty ? "any region" : regions.map(\.name).joined(separator: ", "))
    case .catalogCommitted(let commitment):
      "commitment to version \(commitment.version), after entry \(commitment.position)"
    case .logTrimmed(let marker):
      "entries through \(marker.through) (version \(marker.version)) were removed, by policy "
        + quoted(Key(unchecked: Array(marker.policy.utf8)))
    case .region(let event): event.text
    case .membership(let event): event.text
    }
  }

  /// What kind of change it was, in a word or three.
  var kindText: String {
    switch self {
    case .routesBootstrapped: "bootstrap"
    case .routeSplit: "split"
    case .routesMerged: "merge"
    case .routeMoved: "move"
    case .routeStateChanged: "state change"
    case .allowedRegionsChanged: "region change"
    case .catalogCommitted: "commitment"
    case .logTrimmed: "trim"
    case .region(let event): event.kindText
    case .membership: "member change"
    }
  }
}
