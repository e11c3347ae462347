import Catalog
import StateMachines

/// Why a learner stopped following, but for a broken connection.
package enum FollowFailure: Error, Equatable, Sendable {
  /// The leader says that entries do not lead from here to where it is.
  case reset(FollowReset)
  /// An entry that is not the one that the leader has there, by the hash that the leader gave.
  case damagedOnTheWay(LogPosition)
  case undecodable(LogCodingError)
  /// The parts of one entry were more than an entry has.
  case oversized
  /// The log here takes no entries: what is proven of it is served.
  case logNotWhole(StoreError)
  /// The store did not take what came.
  case store(StoreError)
}

/// What a learner does when following has ended.
package enum FollowRemedy: Hashable, Sendable {
  case reconnect
  /// Fetches the leader's state, and goes on from there.
  case installState
  /// Nothing that the node can do: an operator has to look at it.
  case halt(String)
  /// The same, and the history here is not the leader's.
  case diverged(String)
}

extension FollowFailure {
  package var remedy: FollowRemedy {
    switch self {
    case .reset(let reset):
      switch reset.reason {
      case .trimmed: .installState
      case .diverged, .unknown:
        .diverged(
          "One of the two logs was rewritten. Verify both; rebuild this mirror in an empty folder "
            + "if the leader's is right.")
      }
    case .store(.unproven(_, let error)):
      switch error.recovery {
      case .resume: .reconnect
      case .installState: .installState
      case .halt(let remedy): .diverged(remedy)
      }
    case .store(let error) where error.isPoison:
      // What is here is the beginning of the leader's history all the same.
      .halt("Serving the version before it: \(error.remedy).")
    case .store(let error) where error.isOfAnotherCatalog: .diverged(error.remedy)
    case .store(let error): .halt(error.remedy)
    case .logNotWhole(let condition): .halt(condition.remedy)
    case .undecodable(let error) where error.needsNewerReader:
      .halt("Serving the version before it: use the release that wrote the entry, or a later one.")
    // Perhaps: the same entry is asked for again.
    case .undecodable, .damagedOnTheWay: .reconnect
    case .oversized: .reconnect
    }
  }
}

extension StoreError {
  fileprivate var isPoison: Bool {
    if case .poisoned = self { true } else { false }
  }

  fileprivate var isOfAnotherCatalog: Bool {
    if case .otherCatalog = self { true } else { false }
  }
}

extension FollowFailure: CustomStringConvertible {
  /// What is wrong; ``remedy`` says what to do.
  package var description: String {
    switch self {
    case .reset(let reset):
      switch reset.reason {
      case .trimmed: "the leader's log begins with entry \(reset.firstPosition)"
      case .diverged:
        "the leader has another history: its entries \(reset.firstPosition) to "
          + "\(reset.lastPosition) do not lead on from the last one here."
      case .unknown: "the leader asks for a reset of an unknown kind"
      }
    case .damagedOnTheWay(let position):
      "entry \(position) is not the one whose hash the leader gave: asking for it again"
    case .undecodable(let error): "\(error)"
    case .oversized: "an entry of more than \(LogEntry.maximumByteCount) bytes"
    case .logNotWhole(let condition): "the log here takes no entries: \(condition.problem)."
    case .store(let error): "\(error)"
    }
  }
}
