extension StoredReader {
  /// The route that holds `key`; nil only while there are no routes. Reads O(log *n*) nodes.
  func route(containing key: Key) throws(StoredReadError) -> Route? {
    try key.bytes.withUnsafeBufferPointer { bytes throws(StoredReadError) in
      try route(atOrBefore: StoredKey(UnsafeRawBufferPointer(bytes)))
    }
  }

  /// The route with this id, or nil. Reads O(log *n*) nodes.
  func route(id: RouteID) throws(StoredReadError) -> Route? {
    let key = withUnsafeBytes(of: id.rawValue.bigEndian, Array.init)
    return try key.withUnsafeBufferPointer { bytes throws(StoredReadError) in
      let key = StoredKey(UnsafeRawBufferPointer(bytes))
      var cursor = Cursor(self, .byID)
      try cursor.seek(atOrBefore: key)
      guard let entry = cursor.entry, entry.key.compare(key) == 0 else { return nil }
      let route = try route(atOrBefore: StoredKey(entry.payload))
      guard let route, route.id == id else {
        throw .damaged(
          StoredNodeError(.treesDisagree(position: entry.position), node: entry.node.id))
      }
      return route
    }
  }

  /// Those of the routes with these ids, which ascend, that there are, in key order. Nodes that
  /// several of them lie in are read once.
  func routes(withIDs ids: [RouteID]) throws(StoredReadError) -> [Route] {
    var starts: [(key: [UInt8], id: RouteID)] = []
    starts.reserveCapacity(ids.count)
    var byID = Cursor(self, .byID)
    for id in ids {
      let key = withUnsafeBytes(of: id.rawValue.bigEndian, Array.init)
      try key.withUnsafeBufferPointer { bytes throws(StoredReadError) in
        let key = StoredKey(UnsafeRawBufferPointer(bytes))
        try byID.seek(atOrBefore: key)
        guard let entry = byID.entry, entry.key.compare(key) == 0 else { return }
        starts.append((Array(entry.payload), id))
      }
    }
    starts.sort { $0.key.lexicographicallyPrecedes($1.key) }
    var routes: [Route] = []
    routes.reserveCapacity(starts.count)
    var byStart = Cursor(self, .byStart)
    for (key, id) in starts {
      try key.withUnsafeBufferPointer { bytes throws(StoredReadError) in
        try byStart.seek(atOrBefore: StoredKey(UnsafeRawBufferPointer(bytes)))
        guard let entry = byStart.entry else {
          throw .damaged(StoredNodeError(.treesDisagree(position: 0), node: 0))
        }
        try byStart.moveToNext()
        let route = try route(entry, next: byStart.entry)
        guard route.id == id else {
          throw .damaged(
            StoredNodeError(.treesDisagree(position: entry.position), node: entry.node.id))
        }
        routes.append(route)
      }
    }
    return routes
  }

  /// The ids of the routes of `group` above `id`, ascending, at most `limit`.
  /// Reads O(log *n*) nodes, and those that hold what is returned.
  func routeIDs(
    of group: GroupID, after id: RouteID? = nil, limit: Int = .max
  ) throws(StoredReadError) -> [RouteID] {
    guard id?.rawValue != .max else { return [] }
    let first = id?.next ?? RouteID(0)
    let key = IndexKey.withBytes(of: group, first) { Array($0) }
    return try key.withUnsafeBufferPointer { bytes throws(StoredReadError) in
      var ids: [RouteID] = []
      var cursor = Cursor(self, .byGroup)
      try cursor.seek(atOrAfter: StoredKey(UnsafeRawBufferPointer(bytes)))
      while ids.count < limit, let entry = cursor.entry,
        entry.key.number(from: 0) == group.rawValue
      {
        ids.append(RouteID(entry.key.lastNumber))
        try cursor.moveToNext()
      }
      return ids
    }
  }

  /// Calls `body` with the routes that overlap `span`, in key order, until it returns false.
  func forEachRoute(
    overlapping span: KeySpan, _ body: (Route) throws(StoredReadError) -> Bool
  ) throws(StoredReadError) {
    try span.lower.bytes.withUnsafeBufferPointer { bytes throws(StoredReadError) in
      var cursor = Cursor(self, .byStart)
      try cursor.seek(atOrBefore: StoredKey(UnsafeRawBufferPointer(bytes)))
      while let entry = cursor.entry {
        try cursor.moveToNext()
        let route = try self.route(entry, next: cursor.entry)
        if let upper = span.upper, upper <= route.span.lower { return }
        guard try body(route) else { return }
      }
    }
  }

  private func route(atOrBefore key: StoredKey) throws(StoredReadError) -> Route? {
    var cursor = Cursor(self, .byStart)
    try cursor.seek(atOrBefore: key)
    guard let entry = cursor.entry else { return nil }
    try cursor.moveToNext()
    return try route(entry, next: cursor.entry)
  }

  /// The route of an entry, given the entry after it.
  func route(_ entry: Cursor.Entry, next: Cursor.Entry?) throws(StoredReadError) -> Route {
    do throws(LogCodingError) {
      return try RouteRow(checking: entry.payload).route(
        lower: Key(unchecked: entry.key.bytes), upper: next.map { Key(unchecked: $0.key.bytes) })
    } catch {
      throw .damaged(
        StoredNodeError(.badRow(position: entry.position, error), node: entry.node.id))
    }
  }
}
