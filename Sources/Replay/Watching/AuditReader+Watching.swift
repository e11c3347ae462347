import Catalog
import StateMachines

/// What the log tells a watcher of the versions after the one that it has.
package enum WatchedChanges: Sendable {
  /// Versions in a row; none when there is nothing newer.
  case changes([VersionChange])
  /// The log begins later.
  case notRetained
  /// The next version is one of so many bytes, more than ``AuditReader/largestWatchedEntry``.
  case tooLarge(CatalogVersion, byteCount: Int)
}

extension AuditReader {
  /// Entries of more bytes than this are not taken apart for a watcher: it would take the memory of
  /// several copies of the entry, where the routes as they are can be sent from the newest version
  /// that is in memory anyway. Only a bootstrap or a batch of a hundred thousand changes is so large.
  package static let largestWatchedEntry = 16 << 20

  /// Whether the log leads on from a version, so that a watcher who has it needs nothing but what
  /// changed since. O(log *n*).
  package func leadsOn(from version: CatalogVersion) throws(AuditError) -> Bool {
    guard version < (try ends().newest.version) else { return true }
    return try reading { () throws(StoreError) in
      try log.position(of: version.next) != nil
    }
  }

  /// What the versions after `version` changed, up to `last`, told from the log alone: at least one
  /// version, no more once their entries sum up to `maxBytes`; or why it cannot be told.
  ///
  /// All of it is proven by the chain. Holds the entries that it tells of and those between them and
  /// the checkpoint before, and no table. The writer does not notice.
  ///
  /// - Throws: ``AuditError``.
  /// - Complexity: O(*e* log *n*) for *e* events of the versions, besides an as-of lookup of the
  ///   routes that they name.
  package func changes(
    after version: CatalogVersion, through last: CatalogVersion, maxBytes: Int
  ) throws(AuditError) -> WatchedChanges {
    let last = min(last, try ends().newest.version)
    guard version < last else { return .changes([]) }
    let end: LogPosition
    switch try page(after: version, through: last, maxBytes: maxBytes) {
    case .through(let position): end = position
    case .nothing: return .notRetained
    case .tooLarge(let byteCount): return .tooLarge(version.next, byteCount: byteCount)
    }
    let table = try table(atOrBefore: version)
    let entries = try entries(after: table, through: end)
    let start = entries.firstIndex { $0.version > version } ?? entries.endIndex
    // Looked up at once, as of the version before; what the entries make is folded from there.
    var touched: Set<RouteID> = []
    for entry in entries[start...] { touched.formUnion(touchedBy: entry) }
    var routes = PartialRoutes(try view(at: version).routes(withIDs: touched))
    var changes: [VersionChange] = []
    for entry in entries[start...] where entry.changesRoutes {
      do {
        changes.append(VersionChange(version: entry.version, routes: try routes.apply(entry)))
      } catch {
        throw .store(.unproven(entry.position, error))
      }
    }
    return .changes(changes)
  }

  private enum Page {
    case through(LogPosition)
    case nothing
    case tooLarge(byteCount: Int)
  }

  /// The last entry of as many versions after `version` as go into a page.
  private func page(
    after version: CatalogVersion, through last: CatalogVersion, maxBytes: Int
  ) throws(AuditError) -> Page {
    let first = try reading { () throws(StoreError) in try log.position(of: version.next) }
    guard let first else { return .nothing }
    var page = Page.nothing
    var isFull = false
    do throws(StoreError) {
      try log.scan(from: first, maxCount: 1024, maxBytes: max(1, maxBytes)) {
        (position, bytes) throws(StoreError) in
        if isFull { return }
        if bytes.count > Self.largestWatchedEntry {
          isFull = true
          if case .nothing = page { page = .tooLarge(byteCount: bytes.count) }
          return
        }
        guard try EventLog.header(bytes, at: position).version <= last else { return }
        page = .through(position)
      }
    } catch {
      // A trim may have come in between.
      if case .notRetained = error { return .nothing }
      throw .store(error)
    }
    return page
  }
}
