import Catalog
import StateMachines

/// Why a question about the past has no answer.
package enum AuditError: Error, Equatable, Sendable {
  /// The log, or a checkpoint, could not be read.
  case store(StoreError)
  /// The log begins after the version, and no checkpoint of it was kept.
  case versionNotRetained(CatalogVersion, RetainedVersions)
  case versionInFuture(CatalogVersion, RetainedVersions)
  /// The log begins after this time.
  case timeNotRetained(HybridTimestamp, RetainedVersions)
  /// No route had the id at the version.
  case noSuchRoute(RouteID, at: CatalogVersion)
  /// The catalog had no routes at the version.
  case noRoutes(at: CatalogVersion)
}

/// The versions that can be asked for.
package struct RetainedVersions: Hashable, Sendable {
  /// The first that the log leads to.
  package var oldest: CatalogVersion
  package var newest: CatalogVersion
  /// When the oldest was made; nil where that is the version before the first entry.
  package var since: HybridTimestamp?

  package init(oldest: CatalogVersion, newest: CatalogVersion, since: HybridTimestamp?) {
    (self.oldest, self.newest, self.since) = (oldest, newest, since)
  }
}

extension AuditError: CustomStringConvertible {
  /// What is wrong, then what to do about it.
  package var description: String { "\(problem): \(remedy)" }

  /// What is wrong.
  package var problem: String {
    switch self {
    case .store(let error): error.problem
    case .versionNotRetained(let version, let retained):
      "version \(version) is no longer retained: the log leads to versions \(retained.oldest) to "
        + "\(retained.newest)"
    case .versionInFuture(let version, let retained):
      "version \(version) is not there yet: the catalog is at version \(retained.newest)"
    case .timeNotRetained(_, let retained):
      "the catalog as of that time is no longer retained: the log leads to versions "
        + "\(retained.oldest) to \(retained.newest)"
    case .noSuchRoute(let id, let version): "no route has the id \(id) at version \(version)"
    case .noRoutes(let version): "the catalog has no routes at version \(version)"
    }
  }

  /// What to do about it.
  package var remedy: String {
    switch self {
    case .store(let error): error.remedy
    case .versionNotRetained(_, let retained), .versionInFuture(_, let retained):
      "ask for a version from \(retained.oldest) to \(retained.newest)"
    case .timeNotRetained(_, let retained):
      "ask for a later time, or for a version from \(retained.oldest) on"
    case .noSuchRoute: "look at the version at which it was there, or ask for its keys"
    case .noRoutes: "ask for a later version"
    }
  }
}

/// Runs `body`, whose failure is one of the store.
func reading<Result: ~Copyable>(
  _ body: () throws(StoreError) -> Result
) throws(AuditError) -> Result {
  do {
    return try body()
  } catch {
    throw .store(error)
  }
}
