import Catalog

/// What somebody asks of the catalog: all of it happens, in one entry and one version, or nothing.
package struct Command: Hashable, Sendable {
  /// The caller's name for the command; sent again under the same name it is carried out once.
  package var id: CommandID
  /// The version that the caller looked at, or nil to take the catalog as it is. The command is
  /// refused when a route that it would change was changed after that version; changes elsewhere
  /// do not matter to it.
  package var expectedVersion: CatalogVersion?
  /// Who asks; at most ``LogEntry/maximumTextByteCount`` bytes of UTF-8.
  package var actor: String
  /// Why; at most ``LogEntry/maximumTextByteCount`` bytes of UTF-8.
  package var reason: String
  package var change: RouteChange
  /// The region in whose name it is asked for, with its epoch as the caller knows it; nil when it
  /// comes in no region's name. Refused when the region was lost since.
  package var origin: RegionOrigin?

  package init(
    id: CommandID, expectedVersion: CatalogVersion? = nil, origin: RegionOrigin? = nil,
    actor: String, reason: String, change: RouteChange
  ) {
    self.id = id
    self.expectedVersion = expectedVersion
    self.origin = origin
    self.actor = actor
    self.reason = reason
    self.change = change
  }
}
