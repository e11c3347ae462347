import Catalog

/// Finds the entries of recent commands: an index that is made when it is first asked, and grows with
/// what is appended.
package struct CommandLookup: Sendable {
  /// Nil until somebody asks for a command; learners seldom do.
  private var index: CommandIndex?

  package init() {}

  /// Where the entry of a command may be, newest first, no later than `last`. The first to ask makes
  /// the index, O(*n*) in the size of the dedupe window; after that O(1).
  ///
  /// What `log` has after `last` is to be inserted later.
  package mutating func positions(
    of command: CommandID, in log: any CatalogLog, through last: LogPosition
  ) throws(StoreError) -> [LogPosition] {
    if let index { return index.positions(of: command, last: last) }
    var made = CommandIndex(window: log.dedupeWindow)
    try log.scanCommands { position, command in
      guard position <= last else { return false }
      made.insert(command, at: position)
      return true
    }
    index = made
    return made.positions(of: command, last: last)
  }

  /// Takes note of entries that are durable.
  package mutating func insert(_ entries: [EncodedEntry]) {
    for encoded in entries { index?.insert(encoded.entry.command, at: encoded.entry.position) }
  }

  /// Forgets all: the log is another one now.
  package mutating func forget() { index = nil }
}
