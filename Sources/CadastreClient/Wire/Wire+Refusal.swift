import CadastreProtocol
import Catalog
import GRPCCore
import StateMachines

extension NodeError {
  /// What a caller is told of a refused command. `current` is the version of the catalog that
  /// refused.
  package init(_ refusal: Refusal, current: CatalogVersion) {
    self.init(refusal.status, reason: refusal.code, refusal.description) { detail in
      detail.catalogVersion = current.rawValue
      switch refusal {
      case .staleVersion(_, let current, let newer):
        detail.catalogVersion = current.rawValue
        detail.newerRoutes = newer.map(Wire.Route.init)
      case .splitKeyOutsideRoute(_, let named, let holder):
        detail.newerRoutes = [Wire.Route(named)]
        detail.holder = Wire.Route(holder)
      case .notNeighbours(let left, let right, let between, let count):
        detail.newerRoutes = [left, right].map(Wire.Route.init)
        detail.between = between.map(Wire.Route.init)
        detail.truncated = count > between.count
      case .differentGroups(let left, let right), .differentRegions(let left, let right):
        detail.newerRoutes = [left, right].map(Wire.Route.init)
      case .membership(let refusal):
        detail.newerRoutes = refusal.routes.map(Wire.Route.init)
      case .routeNotActive(let route):
        detail.newerRoutes = [Wire.Route(route)]
      case .notBootstrapped, .alreadyBootstrapped, .firstRouteNotAtLeastKey,
        .bootstrapNotAscending, .emptyBatch, .batchTooLarge, .actorTooLong, .reasonTooLong,
        .tooManyRegions, .entryTooLong, .clockWrong, .notEncodable, .versionInFuture, .noSuchRoute,
        .routeGone, .routeIDsExhausted, .mergeWithItself:
        break
      }
    }
  }
}

extension Refusal {
  /// The status that a caller gets: what kind of thing to do about it.
  fileprivate var status: RPCError.Code {
    switch self {
    case .firstRouteNotAtLeastKey, .bootstrapNotAscending, .emptyBatch, .batchTooLarge,
      .actorTooLong, .reasonTooLong, .tooManyRegions, .entryTooLong, .notEncodable,
      .mergeWithItself:
      .invalidArgument
    case .noSuchRoute, .routeGone:
      .notFound
    case .staleVersion:
      .aborted
    case .membership(let refusal):
      refusal.isStale ? .aborted : .failedPrecondition
    case .routeIDsExhausted:
      .resourceExhausted
    case .notBootstrapped, .alreadyBootstrapped, .clockWrong, .versionInFuture, .routeNotActive,
      .splitKeyOutsideRoute, .notNeighbours, .differentGroups, .differentRegions:
      .failedPrecondition
    }
  }
}

extension MalformedMessage: RPCErrorConvertible {
  /// The status that a call fails with by it.
  public var rpcErrorCode: RPCError.Code { .invalidArgument }
  /// What the caller is told.
  public var rpcErrorMessage: String { NodeError(self).rpcErrorMessage }
  /// The details for programs.
  public var rpcErrorMetadata: Metadata { NodeError(self).rpcErrorMetadata }
  /// Nothing else.
  public var rpcErrorCause: (any Error)? { nil }
}
