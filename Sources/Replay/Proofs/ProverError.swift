import Catalog
import StateMachines

/// Why there is no proof to be made.
package enum ProverError: Error, Equatable, Sendable {
  case store(StoreError)
  case versionInFuture(CatalogVersion, newest: CatalogVersion)
  /// Before the first version there are no routes.
  case noRoutes(CatalogVersion)
  /// The log does not have the entries of the version any more.
  case versionNotRetained(CatalogVersion, first: LogPosition)
  /// The head lies before the version, or the log does not have it.
  case headNotRetained(LogPosition, first: LogPosition, last: LogPosition)
  case headBeforeVersion(LogPosition, CatalogVersion)
  /// The log begins after a state that was taken over, and has no commitment to start from.
  case noCommitment(CatalogVersion, first: LogPosition)
  /// What was made does not hold: the log or a checkpoint is not what it should be.
  case doesNotHold(ProofError)
}

extension ProverError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .store(let error): "\(error)"
    case .versionInFuture(let version, let newest):
      "version \(version) is not there yet: the newest is \(newest)"
    case .noRoutes(let version): "the catalog had no routes at version \(version)"
    case .versionNotRetained(let version, let first):
      "the entries of version \(version) are not in this log, which begins with entry \(first)"
    case .headNotRetained(let head, let first, let last):
      "there is no entry \(head) to be the head: the log has entries \(first) to \(last)"
    case .headBeforeVersion(let head, let version):
      "version \(version) was made after entry \(head)"
    case .noCommitment(let version, let first):
      "nothing in this log commits to what version \(version) rests on: it begins with entry "
        + "\(first), after a state that was taken over"
    case .doesNotHold(let error): "the proof that was made does not hold: \(error)"
    }
  }
}
