import Catalog
import StateMachines

extension AuditReader {
  /// Entries of more bytes than this are not taken apart for a watcher, who is better off with the
  /// routes as they are.
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
  /// version, no more once their entries sum up to `maxBytes`. nil when the log does not lead on from
  /// `version`, or only by an entry of more than ``largestWatchedEntry`` bytes.
  ///
  /// All of it is proven by the chain. Holds the entries that it tells of and those between them and
  /// the checkpoint before, and no table. The writer does not notice.
  ///
  /// - Throws: ``AuditError``.
  /// - Complexity: O(*e* log *n*) for *e* events of the versions, besides an as-of lookup of the
  ///   routes that they name.
  package func changes(
    after version: CatalogVersion, through last: CatalogVersion, maxBytes: Int
  ) throws(AuditError) -> [VersionChange]? {
    let last = min(last, try ends().newest.version)
    guard version < last else { return [] }
    guard let end = try end(ofPageAfter: version, through: last, maxBytes: maxBytes) else {
      return nil
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
    return changes
  }

  /// The last entry of as many versions after `version` as go into a page; nil when there is none, or
  /// the first is too large.
  private func end(
    ofPageAfter version: CatalogVersion, through last: CatalogVersion, maxBytes: Int
  ) throws(AuditError) -> LogPosition? {
    let first = try reading { () throws(StoreError) in try log.position(of: version.next) }
    guard let first else { return nil }
    var end: LogPosition?
    var isTooLarge = false
    do throws(StoreError) {
      try log.scan(from: first, maxCount: 1024, maxBytes: max(1, maxBytes)) {
        (position, bytes) throws(StoreError) in
        isTooLarge = isTooLarge || bytes.count > Self.largestWatchedEntry
        guard !isTooLarge, try EventLog.header(bytes, at: position).version <= last else { return }
        end = position
      }
    } catch {
      // A trim may have come in between.
      if case .notRetained = error { return nil }
      throw .store(error)
    }
    return end
  }
}
