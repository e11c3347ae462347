import CadastreProtocol
import Catalog
import GRPCCore
import StateMachines

extension NodeClient {
  /// The members, regions and policies as the node has them.
  ///
  /// - Throws: ``NodeError``.
  package func membershipOverview(
    deadline: Duration? = nil
  ) async throws(NodeError) -> MembershipOverview {
    try await calling(address) {
      try await members.list(Cadastre_V1_ListMembersRequest(), options: options(deadline)).value()
    }
  }

  /// The routes that are not where they should be, at most `limit` of them.
  ///
  /// - Throws: ``NodeError``.
  package func checkPlacement(
    limit: Int, deadline: Duration? = nil
  ) async throws(NodeError) -> PlacementReport {
    var request = Cadastre_V1_CheckPlacementRequest()
    request.limit = UInt64(clamping: limit)
    let message = request
    return try await calling(address) {
      try await members.checkPlacement(message, options: options(deadline)).value()
    }
  }
}
