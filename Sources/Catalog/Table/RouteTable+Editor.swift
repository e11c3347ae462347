extension RouteTable {
  /// Makes the next version in place: all of `body`'s changes, or none when it throws.
  ///
  /// Routes that change are stamped with `version` and `time`.
  package mutating func edit<Failure: Error>(
    version: CatalogVersion, time: HybridTimestamp,
    _ body: (inout Editor) throws(Failure) -> Void
  ) throws(Failure) {
    var editor = Editor(of: self, version: version, time: time)
    try body(&editor)
    self = editor.finish()
  }

  /// The next version in the making.
  package struct Editor: ~Copyable {
    private var table: RouteTable
    /// What changed routes are stamped with.
    package private(set) var version: CatalogVersion
    package private(set) var time: HybridTimestamp

    private var indexes: RouteIndex.Editor
    /// Nil where the index by group is changed at once, or by another thread.
    private var groupChanges: GroupChanges?
    /// Nil where this thread does all.
    private var deferred: DeferredChanges?

    fileprivate init(of table: RouteTable, version: CatalogVersion, time: HybridTimestamp) {
      self.table = table
      self.version = version
      self.time = time
      indexes = RouteIndex.Editor(of: table.trees, table.holder)
    }

    fileprivate consuming func finish() -> RouteTable {
      finishDeferred()
      applyGroupChanges()
      table.version = version
      table.trees = indexes.trees
      table.holder = indexes.finishVersion()
      return table
    }

    /// Lets the index by group lag behind: its changes are gathered, and made in the order of its keys,
    /// so that each leaf is gone to once for many. Worth it where there are thousands of changes.
    package mutating func gatherGroupChanges() {
      if groupChanges == nil, deferred == nil { groupChanges = GroupChanges() }
    }

    /// Leaves to `worker` what no change of a route needs: the hashes of records, and the indexes by id
    /// and by group. ``digest`` lags behind until ``finishDeferred()``; what it has to be is told with
    /// ``expect(_:)``. `whole` makes the sum of all records of a state of that of its routes'.
    package mutating func deferChanges(
      to worker: any SerialWorker, recordByteCount: Int? = nil, changeCount: Int? = nil,
      whole: @escaping @Sendable (StateDigest, DigestExpectation) -> StateDigest
    ) {
      applyGroupChanges()
      groupChanges = nil
      deferred = DeferredChanges(
        worker, recordByteCount: recordByteCount ?? RecordBatch.capacity,
        changeCount: changeCount ?? GroupChanges.capacity, whole: whole)
    }

    /// Has it found out whether the records add up after all changes so far, sooner or later.
    package mutating func expect(_ expectation: DigestExpectation) {
      guard let deferred else { return }
      deferred.add(expectation)
      deferred.handOver(&indexes, table.digest)
    }

    /// Waits for what was left to another thread.
    package mutating func finishDeferred() { deferred?.finish(&indexes, &table.digest) }

    /// What is known by now of records that do not add up to what was expected.
    package var divergence: Divergence? { deferred?.divergence }

    private mutating func setGroup(_ group: GroupID, of route: RouteID, _ isThere: Bool) {
      if let deferred {
        deferred.setGroup(group, of: route, isThere)
      } else if groupChanges != nil {
        groupChanges?.add(group, route, isThere)
        if let count = groupChanges?.count, count >= GroupChanges.capacity { applyGroupChanges() }
      } else {
        indexes.setGroup(group, of: route, isThere)
      }
    }

    private mutating func applyGroupChanges() {
      guard let changes = groupChanges?.takeAll() else { return }
      for change in changes { indexes.setGroup(change.group, of: change.route, change.isThere) }
    }

    private mutating func setStart(_ start: UnsafeRawBufferPointer?, of route: RouteID) {
      if let deferred {
        deferred.setStart(start, of: route)
      } else {
        indexes.setStart(start, of: route)
      }
    }

    /// Takes account of a record in ``digest``.
    private mutating func count(
      _ row: RouteRow, from lower: UnsafeRawBufferPointer, to upper: RouteRow.UpperBound,
      isThere: Bool
    ) {
      if let deferred {
        row.withRecord(lower: lower, upper: upper) { deferred.add($0, isThere: isThere) }
      } else if isThere {
        table.digest += row.digest(lower: lower, upper: upper)
      } else {
        table.digest -= row.digest(lower: lower, upper: upper)
      }
    }

    /// Goes on with the next version in the same edit: nobody gets to see the one before.
    package mutating func beginVersion(_ version: CatalogVersion, time: HybridTimestamp) {
      self.version = version
      self.time = time
    }

    /// The sum of the records of the routes as they are by now.
    package internal(set) var digest: StateDigest {
      get { table.digest }
      set { table.digest = newValue }
    }
    /// The id that the next new route gets.
    package var nextRouteID: RouteID { table.nextRouteID }

    /// The route that starts at `start` in the version in the making.
    package borrowing func route(startingAt start: Key) -> Route? {
      start.bytes.withUnsafeBytes { bytes in
        let (entry, next) = indexes.trees[RouteTable.TreeIndex.byStart].entries(
          around: RouteIndex.Needle(bytes))
        return entry.flatMap { $0.hasKey(bytes) ? RouteTable.route($0, next) : nil }
      }
    }

    /// The last entry by start at or before a key, and the one after it. Valid until the next change.
    borrowing func entries(
      around key: UnsafeRawBufferPointer
    ) -> (RouteIndex.Entry?, RouteIndex.Entry?) {
      let pair = indexes.trees[RouteTable.TreeIndex.byStart].entries(
        around: RouteIndex.Needle(key))
      return (pair.atOrBefore, pair.after)
    }

    /// Changes an index and nothing else: the caller sees to the other two and to ``digest``.
    mutating func upsert(
      _ payload: UnsafeRawBufferPointer, at key: UnsafeRawBufferPointer, in tree: Int
    ) {
      indexes.upsert(key: key, payload: payload, in: tree)
    }

    /// Like ``upsert(_:at:in:)``.
    mutating func remove(_ key: UnsafeRawBufferPointer, from tree: Int) {
      indexes.remove(key: key, from: tree)
    }

    /// Fills an empty table.
    package mutating func bootstrap(_ seeds: [RouteSeed]) throws(RouteTableError) {
      finishDeferred()
      guard indexes.trees[RouteTable.TreeIndex.byStart].count == 0, table.nextRouteID == RouteID(1)
      else { throw .notEmpty }
      guard let first = seeds.first, first.start == .least else { throw .badSeed(index: 0) }
      var builder = RouteTableBuilder(in: table.store)
      for index in seeds.indices {
        let seed = seeds[index]
        let upper = index + 1 < seeds.count ? seeds[index + 1].start : nil
        if let upper, upper <= seed.start { throw .badSeed(index: index + 1) }
        try builder.append(
          Route(
            id: seed.id, span: KeySpan(unchecked: seed.start, upper), group: seed.group,
            allowedRegions: seed.allowedRegions, version: version, changedAt: time))
      }
      try builder.finish(into: &table)
      indexes = RouteIndex.Editor(of: table.trees, table.holder)
    }
  }
}

extension RouteTable.Editor {
  /// A route of the version in the making, with the entry that bounds it above. Valid until the
  /// next change.
  private struct Found {
    var row: RouteRow
    var upper: RouteRow.UpperBound
  }

  /// The route with this id and start.
  private borrowing func known(
    _ id: RouteID, _ start: Key, _ bytes: UnsafeRawBufferPointer
  ) throws(RouteTableError) -> Found {
    let (entry, next) = indexes.trees[RouteTable.TreeIndex.byStart].entries(
      around: RouteIndex.Needle(bytes))
    guard let entry, entry.hasKey(bytes) else { throw .noRouteStarts(at: start) }
    return try known(id, start, (entry, next))
  }

  /// The route of an entry, if that has this id.
  private borrowing func known(
    _ id: RouteID, _ start: Key, _ found: (entry: RouteIndex.Entry, next: RouteIndex.Entry?)?
  ) throws(RouteTableError) -> Found {
    guard let found else { throw .noRouteStarts(at: start) }
    let row = RouteRow(found.entry.payload)
    guard row.id == id.rawValue else {
      throw .otherRouteStarts(at: start, found: RouteID(row.id), named: id)
    }
    return Found(row: row, upper: RouteRow.UpperBound(found.next))
  }

  private func stamped(_ row: RouteRow) -> RouteRow {
    var row = row
    row.version = version.rawValue
    row.changedAt = time
    return row
  }

  /// Cuts the route at `boundary`; the part from there up becomes `newRoute`, alike but for its
  /// id and parent. O(log *n*).
  package mutating func split(
    route: RouteID, start: Key, boundary: Key, newRoute: RouteID
  ) throws(RouteTableError) {
    let result: Result<Void, RouteTableError> = start.bytes.withUnsafeBytes { lower in
      boundary.bytes.withUnsafeBytes { cut in
        Result { () throws(RouteTableError) in
          try split(route, start, lower, at: boundary, cut, newRoute)
        }
      }
    }
    try result.get()
  }

  private mutating func split(
    _ route: RouteID, _ start: Key, _ lower: UnsafeRawBufferPointer, at boundary: Key,
    _ cut: UnsafeRawBufferPointer, _ newRoute: RouteID
  ) throws(RouteTableError) {
    let found = indexes.find(RouteIndex.Needle(lower), in: RouteTable.TreeIndex.byStart)
    let old = try known(route, start, found)
    guard lower.isOrdered(before: cut), old.upper.isAfter(cut) else {
      throw .boundaryOutside(boundary, route)
    }
    guard newRoute >= table.nextRouteID, newRoute.rawValue < .max else {
      throw .routeIDUsed(newRoute)
    }
    if groupChanges == nil, deferred == nil {
      // The hashing below takes as long as memory takes to answer.
      IndexKey.withBytes(of: GroupID(old.row.group), newRoute) {
        indexes.trees[RouteTable.TreeIndex.byGroup].prefetchLeaf(of: RouteIndex.Needle($0))
      }
    }
    let left = stamped(old.row)
    var right = left
    right.id = newRoute.rawValue
    right.parent = route.rawValue
    count(old.row, from: lower, to: old.upper, isThere: false)
    count(left, from: lower, to: .key(cut), isThere: true)
    count(right, from: cut, to: old.upper, isThere: true)
    // Both rows borrow the regions of the old one: they are written out before it changes.
    left.withBytes { left in
      right.withBytes { right in
        guard !indexes.splitFound(payload: left, newKey: cut, newPayload: right) else { return }
        indexes.upsert(key: cut, payload: right, in: RouteTable.TreeIndex.byStart)
        indexes.upsert(key: lower, payload: left, in: RouteTable.TreeIndex.byStart)
      }
    }
    setStart(cut, of: newRoute)
    setGroup(GroupID(right.group), of: newRoute, true)
    table.nextRouteID = newRoute.next
  }

  /// Gives the whole of `absorbed`, which starts at `boundary`, to its left neighbour. O(log *n*).
  package mutating func merge(
    route: RouteID, start: Key, boundary: Key, absorbed: RouteID
  ) throws(RouteTableError) {
    let result: Result<Void, RouteTableError> = start.bytes.withUnsafeBytes { lower in
      boundary.bytes.withUnsafeBytes { cut in
        Result { () throws(RouteTableError) in
          try merge(route, start, lower, with: absorbed, boundary, cut)
        }
      }
    }
    try result.get()
  }

  private mutating func merge(
    _ route: RouteID, _ start: Key, _ lower: UnsafeRawBufferPointer, with absorbed: RouteID,
    _ boundary: Key, _ cut: UnsafeRawBufferPointer
  ) throws(RouteTableError) {
    let left = try known(route, start, lower)
    let right = try known(absorbed, boundary, cut)
    guard case .entry(let next) = left.upper, next.hasKey(cut) else {
      throw .notNeighbours(route, absorbed)
    }
    let merged = stamped(left.row)
    count(left.row, from: lower, to: left.upper, isThere: false)
    count(right.row, from: cut, to: right.upper, isThere: false)
    count(merged, from: lower, to: right.upper, isThere: true)
    let rightGroup = GroupID(right.row.group)
    merged.withBytes { merged in
      indexes.remove(key: cut, from: RouteTable.TreeIndex.byStart)
      indexes.upsert(key: lower, payload: merged, in: RouteTable.TreeIndex.byStart)
    }
    setStart(nil, of: absorbed)
    setGroup(rightGroup, of: absorbed, false)
  }

  /// Moves the route from one group to another. O(log *n*).
  package mutating func move(
    route: RouteID, start: Key, from: GroupID, to: GroupID
  ) throws(RouteTableError) {
    try change(route, start) { row throws(RouteTableError) in
      guard row.group == from.rawValue else { throw .changedElsewhere(route) }
      row.group = to.rawValue
    }
    setGroup(from, of: route, false)
    setGroup(to, of: route, true)
  }

  /// Changes what may be done with the keys of the route. O(log *n*).
  package mutating func setState(
    route: RouteID, start: Key, from: RouteState, to: RouteState
  ) throws(RouteTableError) {
    try change(route, start) { row throws(RouteTableError) in
      guard row.state == from.rawValue else { throw .changedElsewhere(route) }
      row.state = to.rawValue
    }
  }

  /// Changes where replicas of the route may live. O(log *n*).
  package mutating func setAllowedRegions(
    route: RouteID, start: Key, to regions: [Region]
  ) throws(RouteTableError) {
    guard regions.count <= Region.maximumCount else {
      throw .tooManyRegions(route, count: regions.count)
    }
    let result: Result<Void, RouteTableError> = RouteRow.bytes(of: regions).withUnsafeBytes {
      bytes in
      Result { () throws(RouteTableError) in
        try change(route, start) { row throws(RouteTableError) in row.regions = bytes }
      }
    }
    try result.get()
  }

  /// Replaces the row of a route by a changed and stamped one.
  private mutating func change(
    _ route: RouteID, _ start: Key, _ body: (inout RouteRow) throws(RouteTableError) -> Void
  ) throws(RouteTableError) {
    let result: Result<Void, RouteTableError> = start.bytes.withUnsafeBytes { lower in
      Result { () throws(RouteTableError) in
        let old = try known(route, start, lower)
        var new = stamped(old.row)
        try body(&new)
        count(old.row, from: lower, to: old.upper, isThere: false)
        count(new, from: lower, to: old.upper, isThere: true)
        new.withBytes {
          _ = indexes.upsert(key: lower, payload: $0, in: RouteTable.TreeIndex.byStart)
        }
      }
    }
    try result.get()
  }
}

extension RouteRow.UpperBound {
  /// Whether the bound sorts after `key`.
  func isAfter(_ key: UnsafeRawBufferPointer) -> Bool {
    switch self {
    case .end: true
    case .key(let bound): key.isOrdered(before: bound)
    case .entry(let entry): entry.withKey { key.isOrdered(before: $0) }
    }
  }
}

extension RouteIndex.Entry {
  /// Lends a copy of the key.
  func withKey<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    let length = keyLength
    return withUnsafeTemporaryAllocation(byteCount: length, alignment: 1) { buffer in
      copyKey(into: buffer)
      return body(UnsafeRawBufferPointer(rebasing: buffer[..<length]))
    }
  }

  func hasKey(_ key: UnsafeRawBufferPointer) -> Bool {
    keyLength == key.count && withKey { $0.compare(key) == 0 }
  }
}
