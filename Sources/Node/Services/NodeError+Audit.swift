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
}
