import Catalog

/// Makes routes of what a watch tells, and shows none that are not to be relied on.
package protocol RoutesInStep: Sendable {
  /// The version to watch from; nil to begin with a snapshot.
  var resumption: CatalogVersion? { get }
  /// What to show; nil as long as there is nothing.
  var current: CatalogSnapshot? { get }
  /// How often the routes were taken over whole.
  var resets: UInt64 { get }

  /// Forgets what was told and is not to be relied on.
  mutating func disconnected()

  /// Takes the next event of a watch.
  ///
  /// - Returns: Whether ``current`` is new.
  /// - Throws: ``WatchMismatch`` when what comes is not what was promised; watch anew then. What is
  ///   shown stays.
  mutating func take(_ event: WatchEvent) throws(WatchMismatch) -> Bool
}
