import Catalog
import StateMachines

/// A route with the entry that made it what it is.
package struct BlamedRoute: Hashable, Sendable {
  package var route: Route
  /// nil where the entry is no longer kept; the route says its version and time all the same.
  package var stamp: AuditStamp?

  package init(route: Route, stamp: AuditStamp?) {
    (self.route, self.stamp) = (route, stamp)
  }
}

extension AuditReader {
  /// The routes that overlap `span`, in key order, each with the entry that made it so.
  package func blame(_ span: KeySpan, at point: AuditPoint) throws(AuditError) -> AuditBlame {
    AuditBlame(reader: self, listing: try routes(overlapping: span, at: point))
  }
}

/// The routes of a span with the entries that made them, page by page.
package struct AuditBlame: Sendable {
  private let reader: AuditReader
  private var listing: AuditListing
  /// The entries of the page before: neighbours often come from one.
  private var stamps: [CatalogVersion: AuditStamp?] = [:]

  init(reader: AuditReader, listing: AuditListing) {
    (self.reader, self.listing) = (reader, listing)
  }

  /// The next routes, at least one and at most `limit`; nil after the last.
  package mutating func next(limit: Int = 1024) throws(AuditError) -> [BlamedRoute]? {
    guard let routes = try listing.next(limit: limit) else { return nil }
    var known: [CatalogVersion: AuditStamp?] = [:]
    let blamed = try routes.map { route throws(AuditError) in
      let stamp: AuditStamp?
      if let found = known[route.version] ?? stamps[route.version] {
        stamp = found
      } else {
        stamp = try reader.stamp(of: route.version)
      }
      known[route.version] = .some(stamp)
      return BlamedRoute(route: route, stamp: stamp)
    }
    stamps = known
    return blamed
  }
}
