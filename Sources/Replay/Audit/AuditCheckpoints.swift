import Catalog
import StateMachines
import Synchronization

/// Routes in a checkpoint, read where they are stored. When it turns out to be damaged, or was dropped
/// meanwhile, an older one and the entries since answer in its place.
struct RoutesInCheckpoint: RouteSource {
  let reader: AuditReader
  let checkpoints: CheckpointStore
  let root: CheckpointRoot
  /// False where the caller has another way to the answer.
  var isReplaced = true

  func routes(containing keys: [Key]) throws(StoreError) -> [Route] {
    try read { table throws(StoreError) in
      var routes: [Route] = []
      for key in keys {
        if let route = try table.route(containing: key) { routes.append(route) }
      }
      return routes
    } else: { view throws(AuditError) in
      let found = try view.routes(containing: keys)
      return keys.compactMap { key in found.first { $0.span.contains(key) } }
    }
  }

  func routes(withIDs ids: Set<RouteID>) throws(StoreError) -> [Route] {
    try read { table throws(StoreError) in
      try table.routes(withIDs: ids.sorted())
    } else: { view throws(AuditError) in
      try view.routes(withIDs: ids)
    }
  }

  func routes(overlapping span: KeySpan, limit: Int) throws(StoreError) -> [Route] {
    try read { table throws(StoreError) in
      try table.routes(overlapping: span, limit: limit)
    } else: { view throws(AuditError) in
      var listing = AuditListing(view, .span(span))
      var routes: [Route] = []
      while routes.count < limit, let page = try listing.next(limit: limit - routes.count) {
        routes += page
      }
      return routes
    }
  }

  func routeIDs(of group: GroupID) throws(StoreError) -> [RouteID] {
    try read { table throws(StoreError) in
      try table.routeIDs(of: group)
    } else: { view throws(AuditError) in
      let ids = Set(try view.candidates(of: group))
      return try view.routes(withIDs: ids).filter { $0.group == group }.map(\.id).sorted()
    }
  }

  private func read<Result>(
    _ body: (StoredTable<StoreError>) throws(StoreError) -> Result,
    else fallback: (AuditView) throws(AuditError) -> Result
  ) throws(StoreError) -> Result {
    do throws(StoreError) {
      return try checkpoints.read(root, body)
    } catch {
      switch error {
      case .checkpointDamaged, .noCheckpoint: reader.caches.checkpoints.avoid(root)
      default: throw error
      }
      guard isReplaced else { throw error }
    }
    do throws(AuditError) {
      return try fallback(try reader.view(at: root.version))
    } catch {
      // The table is asked by a view, which tells apart no other failures than the store's.
      if case .store(let error) = error { throw error }
      throw .noCheckpoint(root.version)
    }
  }
}

/// The checkpoints of a log that belong to its history, as far as somebody asked.
final class KnownCheckpoints: Sendable {
  private struct Known {
    /// The base of the log: another one may mean another history.
    var base: BaseHeader?
    var roots: [CheckpointRoot] = []
    /// Whether a root is of the log's history, by the hash of its last entry.
    var agreements: [EntryHash: EventLog.Agreement] = [:]
    /// Damaged or dropped ones.
    var avoided: Set<EntryHash> = []

    mutating func agreement(
      of root: CheckpointRoot, with log: EventLog
    ) throws(StoreError) -> EventLog.Agreement {
      if let found = agreements[root.header.hash] { return found }
      let agreement = try log.agreement(with: root)
      agreements[root.header.hash] = agreement
      return agreement
    }
  }

  /// So many versions are read from the log as soon as a list of roots.
  private static let near: UInt64 = 512

  private let known = Mutex(Known())

  /// Leaves a root out from now on.
  func avoid(_ root: CheckpointRoot) {
    known.withLock { known in
      known.avoided.insert(root.header.hash)
      known.roots.removeAll { $0.header.hash == root.header.hash }
    }
  }

  /// The newest root at or before a version that belongs to the log's history.
  func root(
    atOrBefore version: CatalogVersion, in checkpoints: CheckpointStore, of log: EventLog,
    base: BaseHeader?
  ) throws(StoreError) -> CheckpointRoot? {
    try known.withLock { (known) throws(StoreError) -> CheckpointRoot? in
      if known.base != base { known = Known(base: base, avoided: known.avoided) }
      // Looked for again where a later one may be a good deal nearer.
      if known.roots.last.map({ $0.version.rawValue + Self.near <= version.rawValue }) ?? true {
        known.roots = try checkpoints.roots().filter { !known.avoided.contains($0.header.hash) }
      }
      for root in known.roots.reversed() where root.version <= version {
        if try known.agreement(of: root, with: log) != .other { return root }
      }
      return nil
    }
  }

  /// The oldest of the roots after a version that the log vouches for, of those that are known: the
  /// question for one before the version comes first.
  func root(after version: CatalogVersion, of log: EventLog) throws(StoreError) -> CheckpointRoot? {
    try known.withLock { (known) throws(StoreError) -> CheckpointRoot? in
      for root in known.roots where root.version > version {
        if try known.agreement(of: root, with: log) == .same { return root }
      }
      return nil
    }
  }
}

/// The checkpoints beside a log that somebody else may begin to make.
final class FoundCheckpoints: Sendable {
  private let log: EventLog
  private let found = Mutex<CheckpointStore?>(nil)

  init(_ log: EventLog) { self.log = log }

  /// Looks for them until they are there. Such that cannot be opened are done without.
  var store: CheckpointStore? {
    found.withLock { found in
      if found == nil { found = CheckpointStore.forReading(log) { _ in } }
      return found
    }
  }
}

extension AuditReader {
  /// How many entries after a checkpoint are held in memory at most. There are so many only where
  /// checkpoints are seldom made.
  private static let longestInterval: UInt64 = 1 << 16

  /// The nearest table from which the entries of the log lead to `version`.
  func table(atOrBefore version: CatalogVersion) throws(AuditError) -> AuditTable {
    if let table = try checkpoint(atOrBefore: version) {
      let position =
        table.version == version ? table.position : try position(of: version)
      if position.rawValue - table.position.rawValue <= Self.longestInterval { return table }
    }
    let state = try caches.replayed.state(atOrBefore: version, self)
    return AuditTable(
      version: state.version, position: state.appliedThrough, hash: state.lastHash,
      time: state.lastTime, source: RoutesInMemory(table: state.routes))
  }

  /// The routes of the nearest checkpoint after `version`; nil when there is none.
  func laterCheckpoint(than version: CatalogVersion) throws(AuditError) -> RoutesInCheckpoint? {
    // Also looks for new ones.
    _ = try checkpoint(atOrBefore: version)
    guard let checkpoints = checkpoints(),
      let root = try? caches.checkpoints.root(after: version, of: log)
    else { return nil }
    // Nothing after what was published is told.
    if let live, root.version > live.current().version { return nil }
    return RoutesInCheckpoint(
      reader: self, checkpoints: checkpoints, root: root, isReplaced: false)
  }

  /// The newest checkpoint of `version` or before; nil when there is none.
  func checkpoint(atOrBefore version: CatalogVersion) throws(AuditError) -> AuditTable? {
    guard let checkpoints = checkpoints() else { return nil }
    let base = try ends().base
    let root: CheckpointRoot?
    do throws(StoreError) {
      root = try caches.checkpoints.root(
        atOrBefore: version, in: checkpoints, of: log, base: base)
    } catch {
      // The log answers without them.
      root = nil
    }
    guard let root else { return nil }
    return AuditTable(
      version: root.version, position: root.position, hash: root.header.hash,
      time: root.header.time,
      source: RoutesInCheckpoint(reader: self, checkpoints: checkpoints, root: root), root: root)
  }

  /// The routes that differ between two checkpoints; nil where that cannot be told.
  func changedRoutes(from: AuditTable, to: AuditTable) -> Set<RouteID>? {
    guard let checkpoints = checkpoints(), let from = from.root, let to = to.root else {
      return nil
    }
    return try? checkpoints.changedRoutes(from: from, to: to)
  }
}
