/// One atomic batch of events with its place in the chain.
package struct LogEntry: Hashable, Sendable {
  /// The longest encoding of an entry, in bytes: what one LMDB value holds with room to spare.
  package static let maximumByteCount = 1 << 30
  /// The longest ``actor`` or ``reason``, in bytes of UTF-8.
  package static let maximumTextByteCount = 1024

  /// What the entry is about.
  package var stream: StreamKind
  package var position: LogPosition
  /// The hash of the entry at the position before, or the genesis hash of the catalog.
  package var previous: EntryHash
  /// Later than that of the entry before.
  package var time: HybridTimestamp
  /// Who asked for the change.
  package var actor: String
  /// Why.
  package var reason: String
  package var command: CommandID
  /// The catalog's version after this entry; zero in a region's stream, which makes none.
  package var version: CatalogVersion
  package var events: [Event]
  /// The digest of the state after this entry.
  package var digest: StateDigest

  package init(
    stream: StreamKind = .catalog, position: LogPosition, previous: EntryHash,
    time: HybridTimestamp, actor: String, reason: String, command: CommandID,
    version: CatalogVersion, events: [Event],
    digest: StateDigest
  ) {
    self.stream = stream
    self.position = position
    self.previous = previous
    self.time = time
    self.actor = actor
    self.reason = reason
    self.command = command
    self.version = version
    self.events = events
    self.digest = digest
  }
}
