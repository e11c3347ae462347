import Catalog
import StateMachines

/// Which entries of a log are asked for.
package struct LogFilter: Hashable, Sendable {
  /// Only entries of this actor.
  package var actor: String?
  /// Only entries with an event of one of these kinds; empty for all.
  package var kinds: Set<EventKind> = []
  /// Only entries that changed a route which overlapped the span, before or after.
  package var span: KeySpan?

  package init() {}
}

/// Which entries of a log lie within what was asked for, by their time, version or position. Each
/// bound counts where it is there.
package struct LogBounds: Hashable, Sendable {
  package var firstPosition: LogPosition?
  package var lastPosition: LogPosition?
  package var firstVersion: CatalogVersion?
  package var lastVersion: CatalogVersion?
  /// Entries at this time or later.
  package var since: HybridTimestamp?
  /// Entries at this time or earlier.
  package var until: HybridTimestamp?

  package init() {}
}

extension AuditReader {
  /// The entries within `bounds` that pass `filter`. Those that are no longer kept are left out.
  package func entries(
    in bounds: LogBounds, _ filter: LogFilter = LogFilter(), newestFirst: Bool = false
  ) throws(AuditError) -> AuditLog {
    let end = try ends().newest.position
    let kept = try reading { () throws(StoreError) in try log.firstPosition() }
    var first = max(bounds.firstPosition ?? kept, kept)
    var last = min(bounds.lastPosition ?? end, end)
    if let version = bounds.firstVersion, version > .zero {
      // A version that the log does not lead to is older than all entries, or newer.
      let position = try reading { () throws(StoreError) in try log.position(of: version) }
      if let position {
        first = max(first, position)
      } else if try version > retained().newest {
        first = end.next
      }
    }
    if let version = bounds.lastVersion, try version < retained().newest {
      let next = try reading { () throws(StoreError) in try log.position(of: version.next) }
      last = min(last, LogPosition((next ?? kept).rawValue - 1))
    }
    if let since = bounds.since, since > .zero {
      let before = HybridTimestamp(since.rawValue - 1)
      let position = try reading { () throws(StoreError) in try log.position(at: before) }
      if let position { first = max(first, position.next) }
    }
    if let until = bounds.until {
      let position = try reading { () throws(StoreError) in try log.position(at: until) }
      last = min(last, position ?? LogPosition(kept.rawValue - 1))
    }
    return AuditLog(
      reader: self, filter: filter, next: first, last: last, newestFirst: newestFirst)
  }

  /// How far the past reaches, with the hash of the entry at a position. O(log *n*).
  package func extent(hashAt position: LogPosition) throws(AuditError) -> AuditExtent {
    AuditExtent(
      catalog: catalog, retained: try retained(),
      first: try reading { () throws(StoreError) in try log.firstPosition() },
      last: try ends().newest.position, hash: try hash(at: position))
  }

  /// The hash of the entry at a position; at zero, and at the base, the hash that the entry after it
  /// names. nil where the log does not have it.
  package func hash(at position: LogPosition) throws(AuditError) -> EntryHash? {
    let base = try ends().base
    if let base, position == base.position { return base.hash }
    if position == .zero { return base == nil ? .genesis(of: catalog) : nil }
    return try reading { () throws(StoreError) in
      try log.environment.read { transaction throws(StoreError) in
        try transaction.value(of: position.rawValue, in: log.tables.entries) {
          EntryHash(of: $0)
        }
      }
    }
  }
}

/// How far a catalog's past reaches.
package struct AuditExtent: Hashable, Sendable {
  package var catalog: CatalogID
  package var retained: RetainedVersions
  /// The first entry that is kept, or the place of the next one, and the last.
  package var first: LogPosition
  package var last: LogPosition
  /// The hash of the entry that was asked for; nil where that is not known.
  package var hash: EntryHash?

  package init(
    catalog: CatalogID, retained: RetainedVersions, first: LogPosition, last: LogPosition,
    hash: EntryHash?
  ) {
    self.catalog = catalog
    self.retained = retained
    self.first = first
    self.last = last
    self.hash = hash
  }
}

/// Entries of a log, page by page.
package struct AuditLog: Sendable {
  /// How many entries are looked at for a page at most, and about how many bytes of them.
  private static let sliceCount: UInt64 = 512
  private static let sliceByteCount = 4 << 20

  private let reader: AuditReader
  private let filter: LogFilter
  private let newestFirst: Bool
  /// The positions that were not looked at yet.
  private var rest: (next: LogPosition, last: LogPosition)

  init(
    reader: AuditReader, filter: LogFilter, next: LogPosition, last: LogPosition, newestFirst: Bool
  ) {
    self.reader = reader
    self.filter = filter
    self.newestFirst = newestFirst
    rest = (next, last)
  }

  /// The first position that comes after all that were looked at, oldest first.
  package var nextPosition: LogPosition { rest.next }
  /// The last position that is to be looked at.
  package var lastPosition: LogPosition { rest.last }

  /// Goes on with entries that were appended meanwhile, oldest first.
  package mutating func extend(through last: LogPosition) { rest.last = max(rest.last, last) }

  /// The next entries that pass the filter; nil after the last. A page may be empty.
  package mutating func next() throws(AuditError) -> [EncodedEntry]? {
    guard rest.next <= rest.last else { return nil }
    try reader.checkCancelled(after: LogPosition(rest.next.rawValue - 1))
    var slice: [EncodedEntry]
    if newestFirst {
      slice = try reader.entries(
        endingAt: rest.last, from: rest.next, maxCount: Self.sliceCount,
        maxBytes: Self.sliceByteCount)
      rest.last = LogPosition(rest.last.rawValue - UInt64(slice.count))
    } else {
      let count = min(Self.sliceCount, rest.last.rawValue - rest.next.rawValue + 1)
      slice = try reading { () throws(StoreError) in
        try reader.log.entries(
          from: rest.next, maxCount: Int(count), maxBytes: Self.sliceByteCount)
      }
      guard let end = slice.last else {
        throw .store(.gap(expected: rest.next, found: rest.next.next))
      }
      rest.next = end.entry.position.next
    }
    if let span = filter.span {
      let changes = try reader.changes(of: slice.map(\.entry))
      slice = zip(slice, changes).filter { _, changes in
        changes.contains { $0.isIn(span) }
      }.map(\.0)
    }
    slice = slice.filter { encoded in
      if let actor = filter.actor, encoded.entry.actor != actor { return false }
      return filter.kinds.isEmpty
        || encoded.entry.events.contains { filter.kinds.contains(EventKind($0)) }
    }
    return newestFirst ? slice.reversed() : slice
  }
}

extension AuditChange {
  /// Whether the route itself overlapped the span before the entry, or does so after it.
  func isIn(_ span: KeySpan) -> Bool {
    ownBefore?.span.overlaps(span) ?? false || ownAfter?.span.overlaps(span) ?? false
  }

  /// Whether the route itself was in the group before the entry, or is after it.
  func isIn(_ group: GroupID) -> Bool {
    ownBefore?.group == group || ownAfter?.group == group
  }
}

extension AuditReader {
  /// The entries that end with the one at `last`, oldest first: at most `maxCount`, none before
  /// `first`, and one alone where two have more than `maxBytes`.
  func entries(
    endingAt last: LogPosition, from first: LogPosition, maxCount: UInt64, maxBytes: Int
  ) throws(AuditError) -> [EncodedEntry] {
    var count = min(maxCount, last.rawValue - first.rawValue + 1)
    while true {
      let start = LogPosition(last.rawValue - count + 1)
      let slice = try reading { () throws(StoreError) in
        try log.entries(from: start, maxCount: Int(count), maxBytes: maxBytes)
      }
      if slice.last?.entry.position == last { return slice }
      guard count > 1 else { throw .store(.gap(expected: last, found: last.next)) }
      // Large entries: fewer of them.
      count = max(1, count / 4)
    }
  }
}
