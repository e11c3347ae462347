import Catalog
import Replay

extension Problem {
  /// Says why the past has no answer.
  init(_ error: AuditError) {
    let details: [(name: String, value: JSON)]
    let (status, code): (ExitStatus, String)
    switch error {
    case .store(let error):
      self.init(error)
      return
    case .versionNotRetained(_, let retained), .timeNotRetained(_, let retained):
      (status, code) = (.notFound, "not-retained")
      details = retained.fields
    case .versionInFuture(_, let retained):
      (status, code) = (.notFound, "version-in-future")
      details = retained.fields
    case .noSuchRoute(let id, let version):
      (status, code) = (.notFound, "no-such-route")
      details = [("routes", [JSON(id)]), ("version", JSON(version))]
    case .noRoutes(let version):
      (status, code) = (.notFound, "not-bootstrapped")
      details = [("version", JSON(version))]
    }
    self.init(status, code: code, error.problem, help: error.remedy, details: details)
  }
}

extension RetainedVersions {
  /// The range as `--json` writes it.
  var fields: [(name: String, value: JSON)] {
    [("oldest_version", JSON(oldest)), ("version", JSON(newest))]
  }
}
