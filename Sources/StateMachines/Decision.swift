import Catalog

/// What becomes of a command that is not refused.
package enum Decision: Hashable, Sendable {
  /// These events happen, as one entry.
  case append([Event])
  /// The catalog already is as asked, and nothing is appended.
  case alreadyDone
}

/// What becomes of a command that is not refused, ready for the log.
package enum Proposal: Hashable, Sendable {
  /// The next entry. The state that proposed it has moved on to it.
  case append(EncodedEntry)
  /// The catalog already is as asked, and nothing is appended.
  case alreadyDone
}
