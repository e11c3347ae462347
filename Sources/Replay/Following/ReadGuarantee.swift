import Catalog

/// What a node can vouch for when it answers a read.
package struct ReadGuarantee: Hashable, Sendable {
  package var version: CatalogVersion
  /// How long ago it last knew that it had everything; nil when it does not know. Looked at before
  /// ``version``: what is true of the freshness then is true of every state published later.
  package var staleness: Duration?
  /// Whether its history is not its leader's: a version of another history is not the one that is
  /// asked for.
  package var isDiverged: Bool

  package init(version: CatalogVersion, staleness: Duration?, isDiverged: Bool) {
    self.version = version
    self.staleness = staleness
    self.isDiverged = isDiverged
  }

  /// Whether the node may answer a read that asks for this version or a later one, and for a state
  /// that was the newest at most so long ago; nil asks nothing of the kind.
  package func meets(minimumVersion: CatalogVersion, maximumStaleness: Duration?) -> Bool {
    guard minimumVersion > .zero || maximumStaleness != nil else { return true }
    guard !isDiverged, version >= minimumVersion else { return false }
    guard let maximumStaleness else { return true }
    return staleness.map { $0 <= maximumStaleness } ?? false
  }
}
