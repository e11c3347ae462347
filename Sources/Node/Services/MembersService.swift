import CadastreClient
import CadastreProtocol
import Catalog
import GRPCCore
import NIOPosix
import Replay
import StateMachines

/// Takes changes of members and regions, as the commands service takes those of routes, and tells what
/// there is.
package struct MembersService: Cadastre_V1_Members.ServiceProtocol {
  private let core: NodeCore
  private let commands: CommandsService

  package init(_ core: NodeCore, commands: any CommandSink) {
    self.core = core
    self.commands = CommandsService(commands)
  }

  package func change(
    request: ServerRequest<Cadastre_V1_MembershipChangeRequest>, context: ServerContext
  ) async throws -> ServerResponse<Wire.CommandResponse> {
    try await commands.submit(request)
  }

  package func list(
    request: ServerRequest<Cadastre_V1_ListMembersRequest>, context: ServerContext
  ) async throws -> ServerResponse<Cadastre_V1_ListMembersResponse> {
    ServerResponse(
      message: Cadastre_V1_ListMembersResponse(MembershipOverview(core.store.current)))
  }

  package func checkPlacement(
    request: ServerRequest<Cadastre_V1_CheckPlacementRequest>, context: ServerContext
  ) async throws -> ServerResponse<Cadastre_V1_CheckPlacementResponse> {
    let (state, limit) = (core.store.current, min(request.message.limit, 10_000))
    // It looks at every route.
    let report = try await NIOThreadPool.singleton.runIfActive {
      PlacementReport(state, limit: Int(limit))
    }
    return ServerResponse(message: Cadastre_V1_CheckPlacementResponse(report))
  }
}
