/// What shows, to somebody who has a log's head hash and nothing else, what the route of a key was
/// at a version. A claim until it is checked.
///
/// A proof starts from an *anchor*: a commitment in the log, of which it has the paths of some
/// routes, or the catalog's beginning. Where the anchor is at the version or after it, the route is
/// shown not to have changed since; where it is before, the entries in between are there to be
/// folded. All entries stand in *runs*, in the order of the log, each chained by hashes. The last
/// run ends at the head; the last entry of each other is shown to be in the log by a path in the
/// log's tree, as the first commitment of the last run has its root.
package struct RouteProof: Hashable, Sendable {
  /// The bytes of a proof of this format begin so.
  package static let magic: [UInt8] = [UInt8(ascii: "C"), UInt8(ascii: "D"), UInt8(ascii: "P")]
  /// The format that is written, and the newest that is read.
  package static let format: UInt8 = 1

  package var key: Key
  package var version: CatalogVersion
  /// The entry with the commitment; zero for the catalog's beginning.
  package var anchor: LogPosition
  /// Routes of the anchor's version, by id.
  package var routes: [CommittedRoute]
  package var runs: [Run]

  /// A route with the nodes beside its way in the routes' tree, the lowest first.
  package struct CommittedRoute: Hashable, Sendable {
    package var route: Route
    package var path: [MerkleHash]

    package init(route: Route, path: [MerkleHash]) {
      (self.route, self.path) = (route, path)
    }
  }

  /// Entries that follow one another, as they stand in the log.
  package struct Run: Hashable, Sendable {
    package var entries: [[UInt8]]
    /// The nodes beside the way of the last entry in the log's tree; none in the last run.
    package var path: [MerkleHash]

    package init(entries: [[UInt8]], path: [MerkleHash] = []) {
      (self.entries, self.path) = (entries, path)
    }
  }

  package init(
    key: Key, version: CatalogVersion, anchor: LogPosition, routes: [CommittedRoute], runs: [Run]
  ) {
    self.key = key
    self.version = version
    self.anchor = anchor
    self.routes = routes
    self.runs = runs
  }
}
