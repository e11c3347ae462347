import CadastreClient
import CadastreProtocol
import Catalog
import GRPCCore
import Replay

extension NodeError {
  /// What a caller is told of a question about the past that has no answer.
  package init(_ error: AuditError) {
    switch error {
    case .store(.cancelled):
      self.init(.cancelled, "the call was cancelled")
    case .store(let error):
      let isDamage =
        switch error {
        case .damaged, .gap, .unproven, .baseDamaged, .truncated: true
        default: false
        }
      self.init(
        isDamage ? .dataLoss : .unavailable, reason: isDamage ? "damaged" : "storage",
        error.problem, remedy: error.remedy)
    case .versionNotRetained(_, let retained), .timeNotRetained(_, let retained):
      self.init(
        .outOfRange, reason: "version_not_retained", error.problem, remedy: error.remedy
      ) {
        $0.catalogVersion = retained.newest.rawValue
        $0.oldestVersion = retained.oldest.rawValue
      }
    case .versionInFuture(_, let retained):
      self.init(.outOfRange, reason: "version_in_future", error.problem, remedy: error.remedy) {
        $0.catalogVersion = retained.newest.rawValue
        $0.oldestVersion = retained.oldest.rawValue
      }
    case .noSuchRoute(_, let version):
      self.init(.notFound, reason: "no_such_route", error.problem, remedy: error.remedy) {
        $0.catalogVersion = version.rawValue
      }
    case .noRoutes(let version):
      self.init(.notFound, reason: "no_routes", error.problem, remedy: error.remedy) {
        $0.catalogVersion = version.rawValue
      }
    }
  }

  /// What a caller is told who gets no proof.
  package init(_ error: ProverError) {
    switch error {
    case .store(let error):
      self.init(AuditError.store(error))
    case .versionInFuture(_, let newest):
      self.init(
        .outOfRange, reason: "version_in_future", "\(error)",
        remedy: "ask for a version up to \(newest)"
      ) { $0.catalogVersion = newest.rawValue }
    case .noRoutes:
      self.init(
        .notFound, reason: "no_routes", "\(error)", remedy: "ask for version 1 or a later one")
    case .versionNotRetained:
      self.init(
        .outOfRange, reason: "version_not_retained", "\(error)",
        remedy: "ask a node whose log goes back further, or for a later version")
    case .headNotRetained, .headBeforeVersion:
      self.init(
        .invalidArgument, reason: "bad_head", "\(error)",
        remedy: "name no head to have it proven for the last entry")
    case .noCommitment:
      self.init(
        .failedPrecondition, reason: "no_commitment", "\(error)",
        remedy: "ask the leader, or a node whose log begins with the first entry")
    case .doesNotHold:
      self.init(.dataLoss, reason: "damaged", "\(error)", remedy: "verify this node's log")
    }
  }
}
