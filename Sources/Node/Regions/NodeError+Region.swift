import CadastreClient
import CadastreProtocol
import GRPCCore
import Replay
import StateMachines

extension NodeError {
  /// What a caller is told of a region's command that was not carried out.
  package init(_ failure: RegionFailure) {
    switch failure {
    case .refused(let refusal):
      self.init(refusal.status, reason: refusal.code, refusal.description) { detail in
        switch refusal {
        case .deposed(_, let clock):
          if case .led(let leader, _, _, _) = clock.standing { detail.leader = leader.name }
        case .transactionDecided(let transaction):
          detail.outcome = transaction.outcome?.description ?? ""
        default: break
        }
      }
    case .commandIDReused(_, let position):
      self.init(.alreadyExists, reason: "command_id_reused", failure.description) {
        $0.position = position.rawValue
      }
    case .overloaded: self.init(.resourceExhausted, reason: "overloaded", failure.description)
    case .storage: self.init(.unavailable, reason: "storage", failure.description)
    case .closed: self.init(.unavailable, reason: "closed", failure.description)
    }
  }
}

extension RegionRefusal {
  /// The status that a caller gets: what kind of thing to do about it.
  fileprivate var status: RPCError.Code {
    switch self {
    case .noGroups, .actorTooLong, .reasonTooLong, .leaseOutOfRange, .notEncodable,
      .floorAboveCeiling, .tooFarAhead:
      .invalidArgument
    case .unknownGroups, .unknownTransaction: .notFound
    case .transactionDecided: .aborted
    case .transactionDiffers: .alreadyExists
    case .clockWrong, .departed, .deposed, .arrivesBehind, .termsExhausted, .transactionExpired:
      .failedPrecondition
    }
  }
}
