/// What can be read of the routes of a stored table that is damaged, and where in the keyspace the
/// rest was.
package struct SalvagedRoutes: Hashable, Sendable {
  /// In key order. Each reaches to the next that could be read, or to the end, though there may have
  /// been others between.
  package var routes: [Route]
  /// Where the routes could not be read: in key order, with something between any two.
  package var missing: [KeySpan]

  package init(routes: [Route], missing: [KeySpan]) {
    (self.routes, self.missing) = (routes, missing)
  }

  /// All routes, given those that overlap what is ``missing``, in any order: each reaches to the next.
  /// Whether they are those of the table its digest tells. O(*n*), and O(*m* log *m*) for *m* given.
  package func completed(with found: [Route]) -> [Route] {
    // A route that was found may be one that was read, which ends where a missing one starts.
    var found = found.sorted { $0.span.lower < $1.span.lower }[...]
    var all: [Route] = []
    all.reserveCapacity(routes.count + found.count)
    func add(_ route: Route) {
      guard let last = all.last else { return all.append(route) }
      guard last.span.lower < route.span.lower else { return }
      all[all.count - 1].span = KeySpan(unchecked: last.span.lower, route.span.lower)
      all.append(route)
    }
    for route in routes {
      while let next = found.first, next.span.lower < route.span.lower { add(found.removeFirst()) }
      add(route)
    }
    for route in found { add(route) }
    if let last = all.last { all[all.count - 1].span = KeySpan(unchecked: last.span.lower, nil) }
    return all
  }
}

extension StoredReader {
  /// Reads all routes that are not below a damaged node of the tree by start key. Each node is proven
  /// as ever. O(*n*).
  ///
  /// - Throws: What reading throws.
  func salvage() throws(StoredReadError) -> SalvagedRoutes {
    var salvaged = SalvagedRoutes(routes: [], missing: [])
    let tree = trees[StoredTreeKind.byStart.rawValue]
    guard let root = tree.root else { return salvaged }
    try salvage(root, StoredNode.Place(level: tree.height - 1), into: &salvaged)
    return salvaged
  }

  private func salvage(
    _ reference: StoredNodeReference, _ place: StoredNode.Place, into salvaged: inout SalvagedRoutes
  ) throws(StoredReadError) {
    var routes: [Route] = []
    do throws(StoredReadError) {
      let node = try open(reference, place, of: .byStart)
      guard node.level == 0 else {
        for position in 0..<node.childCount {
          try salvage(
            node.child(at: position), node.place(ofChild: position, in: place), into: &salvaged)
        }
        return
      }
      for position in 0..<node.count {
        let entry = Cursor.Entry(node: node, position: position)
        let next =
          position + 1 < node.count ? Cursor.Entry(node: node, position: position + 1) : nil
        routes.append(try route(entry, next: next))
      }
    } catch .damaged {
      salvaged.add(missing: place)
      return
    }
    for route in routes { salvaged.add(route) }
  }
}

extension SalvagedRoutes {
  fileprivate mutating func add(_ route: Route) {
    if let last = routes.last {
      routes[routes.count - 1].span = KeySpan(unchecked: last.span.lower, route.span.lower)
    }
    routes.append(route)
  }

  fileprivate mutating func add(missing place: StoredNode.Place) {
    let lower = place.low.map { Key(unchecked: $0.bytes) } ?? .least
    let upper = place.high.map { Key(unchecked: $0.bytes) }
    if let last = missing.last, last.upper == lower {
      missing[missing.count - 1] = KeySpan(unchecked: last.lower, upper)
    } else {
      missing.append(KeySpan(unchecked: lower, upper))
    }
  }
}

extension StoredTable {
  /// Reads all routes that are not below a damaged node, and says where the others were. Each node is
  /// proven as ever. O(*n*).
  ///
  /// - Throws: What reading throws.
  package func salvage() throws(Failure) -> SalvagedRoutes {
    try reading { reader throws(StoredReadError) in try reader.salvage() }
  }
}
