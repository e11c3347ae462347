import CadastreProtocol
import Catalog
import Foundation
import StateMachines

extension Cadastre_V1_StateHeader {
  package init(_ header: StateMachines.StateHeader) {
    self.init()
    catalogID = Data(header.catalog.bytes)
    position = header.position.rawValue
    hash = Data(header.hash.bytes)
    time = header.time.rawValue
    version = header.version.rawValue
    nextRouteID = header.nextRouteID.rawValue
    digest = Data(header.digest.bytes)
    if header.membership != .zero { membersDigest = Data(header.membership.bytes) }
  }

  /// - Throws: ``MalformedMessage`` when an id, a hash or a digest has the wrong length.
  package func value() throws(MalformedMessage) -> StateMachines.StateHeader {
    StateMachines.StateHeader(
      catalog: try fixed("catalog_id", catalogID), position: LogPosition(position),
      hash: try fixed("hash", hash), time: HybridTimestamp(time),
      version: CatalogVersion(version), nextRouteID: RouteID(nextRouteID),
      digest: try fixed("digest", digest),
      membership: membersDigest.isEmpty ? .zero : try fixed("members_digest", membersDigest))
  }
}
