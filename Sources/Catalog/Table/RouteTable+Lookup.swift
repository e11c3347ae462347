extension RouteTable {
  /// The route that holds `key`; nil only while there are no routes. O(log *n*).
  package func route(containing key: Key) -> Route? {
    key.bytes.withUnsafeBytes { bytes in
      byStart.withEntries(around: bytes) { entry, next in
        entry.map { Self.route($0, next) }
      }
    }
  }

  /// Who owns the key with these bytes; nil only while there are no routes. O(log *n*), allocates
  /// nothing.
  package func owner(of key: UnsafeRawBufferPointer) -> RouteOwner? {
    defer { withExtendedLifetime(holder) {} }
    return trees[TreeIndex.byStart].entry(atOrBefore: RouteIndex.Needle(key)).map {
      RouteRow.owner(in: $0.payload)
    }
  }

  /// The route with this id, or nil. O(log *n*).
  package func route(id: RouteID) -> Route? {
    IndexKey.withBytes(of: id) { bytes in
      byID.withEntry(at: bytes) { entry in
        entry.flatMap { route(startingAt: $0.payload) }
      }
    }
  }

  /// The routes that overlap `span`, in key order, at most `limit`.
  /// O(log *n*) and what is returned.
  package func routes(overlapping span: KeySpan, limit: Int = .max) -> [Route] {
    var routes: [Route] = []
    var cursor = RouteIndex.Cursor(byStart)
    span.lower.bytes.withUnsafeBytes { cursor.seek(atOrBefore: $0) }
    var lower = cursor.entry.map { Key(unchecked: $0.key) }
    while routes.count < limit, let start = lower, let entry = cursor.entry,
      span.upper.map({ start < $0 }) ?? true
    {
      let row = RouteRow(entry.payload)
      cursor.moveToNext()
      lower = cursor.entry.map { Key(unchecked: $0.key) }
      // The row's regions are lent by the leaf, which the cursor keeps alive.
      routes.append(row.route(lower: start, upper: lower))
    }
    return routes
  }

  /// The routes of `group` with ids above `id`, in the order of ids, at most `limit`.
  /// O(*m* log *n*) for *m* routes.
  package func routes(of group: GroupID, after id: RouteID? = nil, limit: Int = .max) -> [Route] {
    guard let first = Self.following(id) else { return [] }
    var routes: [Route] = []
    var cursor = RouteIndex.Cursor(byGroup)
    IndexKey.withBytes(of: group, first) { cursor.seek(atOrAfter: $0) }
    while routes.count < limit, let entry = cursor.entry {
      let (entryGroup, id) = IndexKey.groupAndID(of: entry)
      guard entryGroup == group, let route = route(id: id) else { break }
      routes.append(route)
      cursor.moveToNext()
    }
    return routes
  }

  /// The routes with ids above `id`, in the order of ids, at most `limit`.
  /// O(*m* log *n*) for *m* routes.
  package func routes(after id: RouteID?, limit: Int = .max) -> [Route] {
    guard let first = Self.following(id) else { return [] }
    var routes: [Route] = []
    var cursor = RouteIndex.Cursor(byID)
    IndexKey.withBytes(of: first) { cursor.seek(atOrAfter: $0) }
    while routes.count < limit, let entry = cursor.entry,
      let route = route(startingAt: entry.payload)
    {
      routes.append(route)
      cursor.moveToNext()
    }
    return routes
  }

  /// The first id that is after `id`; nil when there is none.
  private static func following(_ id: RouteID?) -> RouteID? {
    guard let id else { return RouteID(0) }
    return id.rawValue < .max ? id.next : nil
  }

  private func route(startingAt start: UnsafeRawBufferPointer) -> Route? {
    byStart.withEntries(around: start) { entry, next in
      entry.map { Self.route($0, next) }
    }
  }

  /// The route of an entry, given the entry after it.
  static func route(_ entry: RouteIndex.Entry, _ next: RouteIndex.Entry?) -> Route {
    RouteRow(entry.payload).route(
      lower: Key(unchecked: entry.key), upper: next.map { Key(unchecked: $0.key) })
  }
}

/// The keys of the indexes by id and by group: big-endian numbers, which sort as the numbers do.
enum IndexKey {
  static func withBytes<Result>(
    of id: RouteID, _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result {
    withUnsafeBytes(of: id.rawValue.bigEndian, body)
  }

  static func withBytes<Result>(
    of group: GroupID, _ id: RouteID, _ body: (UnsafeRawBufferPointer) -> Result
  ) -> Result {
    withUnsafeBytes(of: (group.rawValue.bigEndian, id.rawValue.bigEndian), body)
  }

  static func groupAndID(of entry: RouteIndex.Entry) -> (group: GroupID, id: RouteID) {
    withUnsafeTemporaryAllocation(byteCount: 16, alignment: 8) { buffer in
      entry.copyKey(into: buffer)
      return (
        GroupID(UInt64(bigEndian: buffer.load(as: UInt64.self))),
        RouteID(UInt64(bigEndian: buffer.load(fromByteOffset: 8, as: UInt64.self)))
      )
    }
  }

  static func id(of entry: RouteIndex.Entry) -> RouteID {
    withUnsafeTemporaryAllocation(byteCount: 8, alignment: 8) { buffer in
      entry.copyKey(into: buffer)
      return RouteID(UInt64(bigEndian: buffer.load(as: UInt64.self)))
    }
  }
}
