import Catalog

/// Why a proof proves nothing.
package enum ProofError: Error, Equatable, Sendable {
  /// The file's bytes are no proof.
  case unreadable(RouteProof.CodingError)
  /// The entry at this place of a run is none.
  case badEntry(run: Int, index: Int, LogCodingError)
  /// Nothing is there to be checked.
  case empty
  /// The entry does not follow the one before it in its run.
  case brokenRun(LogPosition)
  /// Runs that are not in the order of the log, or that touch.
  case runsOutOfOrder(LogPosition)
  /// The proof ends with another entry than the one that is trusted.
  case otherHead(LogPosition, expected: EntryHash, found: EntryHash)
  case otherPosition(expected: LogPosition, found: LogPosition)
  /// The entries that end at the head have no commitment that could vouch for those before.
  case nothingVouches(for: LogPosition)
  /// The path of the entry does not lead to the root of the log's tree.
  case notInLog(LogPosition)
  /// The anchor is not there, or has no commitment.
  case noAnchor(LogPosition)
  /// The path of the route does not lead to the root of the routes' tree.
  case notCommitted(RouteID)
  /// The routes are not those that the claim needs, each once, by id.
  case wrongRoutes
  /// The route was changed between the version and the anchor: what it was before is not shown.
  case changedLater(RouteID, at: CatalogVersion)
  /// Entries between the anchor and the version are not there.
  case entriesMissing(LogPosition)
  case doesNotFold(EvolveError)
  /// No route holds the key: there are none at the version.
  case noRoute
}

extension ProofError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .unreadable(let error): "\(error)"
    case .badEntry(let run, let index, let error):
      "entry \(index) of run \(run) cannot be read: \(error)"
    case .empty: "it has no entries"
    case .brokenRun(let position):
      "entry \(position) does not follow the one before it"
    case .runsOutOfOrder(let position):
      "entry \(position) is out of order"
    case .otherHead(let position, let expected, let found):
      "it leads to entry \(position) with the hash \(found), not to the head \(expected)"
    case .otherPosition(let expected, let found):
      "the head is entry \(found), not entry \(expected)"
    case .nothingVouches(let position):
      "no commitment vouches for entry \(position)"
    case .notInLog(let position):
      "entry \(position) is not in the log of the head"
    case .noAnchor(let position):
      position == .zero
        ? "the log's first entry is not there"
        : "entry \(position), which is to have a commitment, is not there or has none"
    case .notCommitted(let id):
      "route \(id) is not as the commitment says"
    case .wrongRoutes:
      "the routes are not those that show what the key's route was"
    case .changedLater(let id, let version):
      "route \(id) was changed by version \(version), and what it was before is not shown"
    case .entriesMissing(let position):
      "entry \(position), which may have changed the route, is not there"
    case .doesNotFold(let error):
      "\(error)"
    case .noRoute:
      "there were no routes then"
    }
  }
}
