import CadastreProtocol
import Catalog
import GRPCCore

/// Why a ``CatalogClient`` could not do what it was asked.
public struct CatalogClientError: Error, Sendable, CustomStringConvertible {
  /// What kind of thing to do about it.
  public enum Kind: String, Sendable {
    /// No node could do it in time: try again later, a command under the same id.
    case unavailable
    /// A route that the command would change is newer than ``CatalogCommand/expectedVersion``: look at
    /// ``newerRoutes``, and decide anew.
    case staleVersion
    /// There is no such route.
    case notFound
    /// The request makes no sense, whatever the catalog looks like.
    case invalid
    /// The catalog, as it is, does not allow it; ``reason`` says why.
    case refused
    /// No node that could be asked knows this program, or lets it do this: look at its token or
    /// certificate. ``reason`` says which it is, such as `token_expired` or `role_missing`.
    case denied
    /// The key is not in the span that the client watches; see ``CatalogClient/Options/watching``.
    case outsideSpan
    /// The task was cancelled.
    case cancelled
    /// Something that this release does not know.
    case unknown
  }

  /// What kind of thing to do about it.
  public var kind: Kind
  /// A stable name of the reason, such as `stale_version`; nil where no node refused.
  public var reason: String?
  /// What is wrong, for people.
  public var description: String
  /// What to do about it, for people; may be empty.
  public var remedy: String
  /// The version of the catalog that refused; nil where no node did.
  public var catalogVersion: CatalogVersion?
  /// The routes in question as they are at that version.
  public var newerRoutes: [Route]

  package init(
    _ kind: Kind, reason: String? = nil, _ description: String, remedy: String = "",
    catalogVersion: CatalogVersion? = nil, newerRoutes: [Route] = []
  ) {
    self.kind = kind
    self.reason = reason
    self.description = description
    self.remedy = remedy
    self.catalogVersion = catalogVersion
    self.newerRoutes = newerRoutes
  }
}

extension CatalogClientError {
  /// What a node said, for who does not know about nodes.
  package init(_ error: NodeError) {
    let kind: Kind =
      switch error.code {
      case .unavailable, .deadlineExceeded, .resourceExhausted: .unavailable
      case .aborted: .staleVersion
      case .notFound: .notFound
      case .invalidArgument, .outOfRange: .invalid
      case .failedPrecondition, .alreadyExists: .refused
      case .permissionDenied, .unauthenticated: .denied
      case .cancelled: .cancelled
      default: .unknown
      }
    let version = error.detail.map { CatalogVersion($0.catalogVersion) }
    // A route that cannot be read tells nothing, and is none worth failing for.
    let routes = error.detail?.newerRoutes.compactMap { try? $0.value() } ?? []
    self.init(
      kind, reason: error.reason, error.message, remedy: error.detail?.remedy ?? "",
      catalogVersion: version == .zero ? nil : version, newerRoutes: routes)
  }
}

/// What to make of a node's failure.
package enum FailureKind: Hashable, Sendable {
  /// The node is not there, or not in time: it counts against it.
  case broken
  /// The node is there, and another one, or the same one later, may do it.
  case elsewhere
  /// The node does not know the caller, or does not let it do this. Each node has a file of its own
  /// that says who may what: another one may, but the same one will not.
  case denied
  /// No node will say anything else.
  case final

  package init(_ error: NodeError) {
    self =
      switch error.code {
      case .unavailable: error.isUnreachable ? .broken : .elsewhere
      case .deadlineExceeded, .internalError, .unknown, .dataLoss: .broken
      case .resourceExhausted: .elsewhere
      case .permissionDenied, .unauthenticated: .denied
      default: .final
      }
  }
}
