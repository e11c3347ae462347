import Catalog

/// A table of routes that start at given keys, and what is measured of it.
struct TableBench {
  private(set) var table: RouteTable
  let lookups: KeyFile
  private var random: Generator
  private let overhead = clockOverhead()
  private var clock: UInt64 = 0
  /// All keys at which the table was split, in order.
  private(set) var boundaries = KeyFile()

  init(starts: [[UInt8]], lookups: KeyFile, random: Generator) {
    self.lookups = lookups
    self.random = random
    let residentBefore = residentBytes()
    let begin = nanoseconds()
    let routes = starts.indices.lazy.map { index in
      Route(
        id: RouteID(UInt64(index + 1)),
        span: KeySpan(
          unchecked: Key(unchecked: starts[index]),
          index + 1 < starts.count ? Key(unchecked: starts[index + 1]) : nil),
        group: GroupID(UInt64(index % 1_000 + 1)), version: CatalogVersion(1),
        changedAt: Self.time(1))
    }
    do {
      table = try RouteTable(
        version: CatalogVersion(1), nextRouteID: RouteID(UInt64(starts.count + 1)), routes: routes)
    } catch {
      preconditionFailure("the keys do not tile the keyspace: \(error)")
    }
    let elapsed = nanoseconds() - begin
    report(
      "build",
      "\"routes\":\(table.count),\"ms\":\(elapsed / 1_000_000),"
        + "\"resident_bytes\":\(residentBytes() - residentBefore)")
  }

  private static func time(_ step: UInt64) -> HybridTimestamp {
    HybridTimestamp(milliseconds: 1_785_312_000_000 + step)
  }

  /// Random lookups of a key's owner: one by one, then the mean of a whole pass.
  func lookUp(_ name: String) {
    var samples = Samples(capacity: lookups.count, overhead: overhead)
    var checksum: UInt64 = 0
    var elapsed = UInt64.max
    var processor = UInt64.max
    lookups.bytes.withUnsafeBytes { bytes in
      for _ in 0..<3 {
        checksum = 0
        let begin = nanoseconds()
        let processorBegin = processorNanoseconds()
        for range in lookups.ranges {
          let owner = table.owner(of: UnsafeRawBufferPointer(rebasing: bytes[range]))
          checksum &+= owner?.route.rawValue ?? 0
        }
        processor = min(processor, processorNanoseconds() - processorBegin)
        elapsed = min(elapsed, nanoseconds() - begin)
      }
      for range in lookups.ranges {
        let start = nanoseconds()
        let owner = table.owner(of: UnsafeRawBufferPointer(rebasing: bytes[range]))
        samples.append(from: start, to: nanoseconds())
        checksum &+= owner?.route.rawValue ?? 0
      }
    }
    report(
      name,
      "\"routes\":\(table.count),\"mean_ns\":\(decimal(Double(elapsed) / Double(lookups.count))),"
        + "\"mean_cpu_ns\":\(decimal(Double(processor) / Double(lookups.count))),"
        + "\(samples.fields()),\"checksum\":\(checksum)")
  }

  /// The bytes of a key that is looked up.
  func lookupKey(_ number: Int) -> ArraySlice<UInt8> {
    lookups.bytes[lookups.ranges[number % lookups.count]]
  }

  /// What the nodes of all indexes take.
  func measureMemory(_ name: String) {
    table.store.reclaim(limit: .max)
    let (byStart, byID, byGroup) = table.nodeByteCounts
    report(
      name,
      "\"routes\":\(table.count),\"bytes\":\(table.store.nodeByteCount),"
        + "\"by_start\":\(byStart),\"by_id\":\(byID),\"by_group\":\(byGroup),"
        + "\"nodes\":\(table.store.nodeCount),\"mapped\":\(table.store.mappedByteCount)")
  }

  private struct Split {
    var route: RouteID
    var start: Key
    var boundary: Key
  }

  /// Splits at fresh keys, each in a route of its own.
  private mutating func draw(_ count: Int) -> [Split] {
    var taken: Set<RouteID> = []
    var splits: [Split] = []
    while splits.count < count {
      let boundary = Key(unchecked: random.key())
      guard let route = table.route(containing: boundary), route.span.lower != boundary,
        taken.insert(route.id).inserted
      else { continue }
      splits.append(Split(route: route.id, start: route.span.lower, boundary: boundary))
    }
    return splits
  }

  private mutating func apply(_ splits: ArraySlice<Split>) throws(RouteTableError) {
    clock += 1
    var id = table.nextRouteID
    try table.edit(version: table.version.next, time: Self.time(clock)) {
      editor throws(RouteTableError) in
      for split in splits {
        try editor.split(
          route: split.route, start: split.start, boundary: split.boundary, newRoute: id)
        id = id.next
      }
    }
  }

  /// Single splits, each a version of its own: all three indexes and the digest. Each follows the
  /// lookup that decides it, which is not counted.
  mutating func splitOneByOne() throws(RouteTableError) {
    let count = min(100_000, table.count)
    var samples = Samples(capacity: count, overhead: overhead)
    var elapsed: UInt64 = 0
    for _ in 0..<count {
      let split = draw(1)
      let start = nanoseconds()
      try apply(split[...])
      let end = nanoseconds()
      samples.append(from: start, to: end)
      elapsed += end - start - overhead
    }
    report(
      "split",
      "\"mean_ns\":\(decimal(Double(elapsed) / Double(count))),\(samples.fields())")
  }

  /// Batches of 1,000 splits, each batch one version.
  mutating func splitInBatches(name: String, batches: Int) throws(RouteTableError) {
    var samples = Samples(capacity: batches, overhead: overhead)
    var elapsed: UInt64 = 0
    var processor: UInt64 = 0
    let batchCount = min(1_000, table.count / 3)
    for _ in 0..<batches {
      let splits = draw(batchCount)
      let start = nanoseconds()
      let processorStart = processorNanoseconds()
      try apply(splits[...])
      processor += processorNanoseconds() - processorStart
      let end = nanoseconds()
      for split in splits { boundaries.append(split.boundary.bytes) }
      samples.append(from: start, to: end)
      elapsed += end - start
    }
    report(
      name,
      "\"splits\":\(batches * batchCount),"
        + "\"mean_ns_per_split\":\(decimal(Double(elapsed) / Double(batches * batchCount))),"
        + "\"mean_cpu_ns_per_split\":\(decimal(Double(processor) / Double(batches * batchCount))),"
        + samples.fields())
  }

  /// Splits at given keys, in their order, up to a thousand in a version; keys at which a route
  /// starts already are passed over.
  mutating func split(at keys: KeyFile, name: String) throws(RouteTableError) {
    var batch: [Split] = []
    var taken: Set<RouteID> = []
    let (start, before) = (nanoseconds(), table.count)
    for index in 0..<keys.count {
      let boundary = Key(unchecked: keys.key(index))
      guard var route = table.route(containing: boundary), route.span.lower != boundary else {
        continue
      }
      if batch.count == 1_000 || taken.contains(route.id) {
        try apply(batch[...])
        batch.removeAll(keepingCapacity: true)
        taken.removeAll(keepingCapacity: true)
        guard let now = table.route(containing: boundary), now.span.lower != boundary else {
          continue
        }
        route = now
      }
      taken.insert(route.id)
      batch.append(Split(route: route.id, start: route.span.lower, boundary: boundary))
    }
    if !batch.isEmpty { try apply(batch[...]) }
    let splits = max(1, table.count - before)
    report(
      name,
      "\"splits\":\(table.count - before),"
        + "\"mean_ns_per_split\":\(decimal(Double(nanoseconds() - start) / Double(splits)))")
  }

  /// What 1,024 versions, one split each, hold beyond the newest.
  mutating func retainVersions() throws(RouteTableError) {
    table.store.reclaim(limit: .max)
    let splits = draw(min(1_024, table.count / 3))
    var versions: [RouteTable] = []
    for index in splits.indices {
      versions.append(table)
      try apply(splits[index...index])
    }
    table.store.reclaim(limit: .max)
    let with = table.store.nodeByteCount
    let begin = nanoseconds()
    versions.removeAll()
    table.store.reclaim(limit: .max)
    let elapsed = nanoseconds() - begin
    report(
      "retained_versions",
      "\"versions\":1024,\"bytes\":\(with - table.store.nodeByteCount),"
        + "\"reclaim_us\":\(elapsed / 1_000)")
  }
}
