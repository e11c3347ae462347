import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import StateMachines

/// Answers reads from the published state, on the event loop that the call came in on.
package struct ReadsService: Cadastre_V1_CatalogReads.ServiceProtocol {
  private let core: NodeCore

  package init(_ core: NodeCore) { self.core = core }

  package func resolve(
    request: ServerRequest<Wire.ResolveRequest>, context: ServerContext
  ) async throws -> ServerResponse<Wire.ResolveResponse> {
    let key = try key("key", request.message.key)
    let view = try await view(request.message.demand, request.metadata)
    guard let route = view.state.routes.route(containing: key) else {
      throw core.absence(in: view)
    }
    var response = Wire.ResolveResponse()
    response.route = Wire.Route(route)
    response.stamp = Wire.ReadStamp(view.stamp)
    return ServerResponse(message: response)
  }

  package func resolveBatch(
    request: ServerRequest<Wire.ResolveBatchRequest>, context: ServerContext
  ) async throws -> ServerResponse<Wire.ResolveBatchResponse> {
    let keys = request.message.keys
    guard keys.count <= core.limits.keysPerRead else {
      throw MalformedMessage(
        "keys: \(keys.count) are too many for one call: give at most \(core.limits.keysPerRead)")
    }
    for key in keys where key.count > Key.maximumLength {
      throw MalformedMessage("keys: \(KeyError.tooLong(byteCount: key.count))")
    }
    let view = try await view(request.message.demand, request.metadata)
    let routes = view.state.routes
    var response = Wire.ResolveBatchResponse()
    response.routeIds.reserveCapacity(keys.count)
    response.groupIds.reserveCapacity(keys.count)
    response.states.reserveCapacity(keys.count)
    var known: Set<RouteID> = []
    var byteCount = 0
    for key in keys {
      guard let owner = key.withUnsafeBytes({ routes.owner(of: $0) }) else {
        throw core.absence(in: view)
      }
      response.routeIds.append(owner.route.rawValue)
      response.groupIds.append(owner.group.rawValue)
      response.states.append(Wire.RouteState(owner.state))
      if request.message.includeRoutes, known.insert(owner.route).inserted,
        let route = routes.route(id: owner.route)
      {
        let message = Wire.Route(route)
        byteCount += message.approximateSize
        guard byteCount <= NodeClient.maximumMessageByteCount / 2 else {
          throw MalformedMessage(
            "keys: their routes do not fit into one message: ask for fewer keys at once")
        }
        response.routes.append(message)
      }
    }
    response.stamp = Wire.ReadStamp(view.stamp)
    return ServerResponse(message: response)
  }

  package func listRoutes(
    request: ServerRequest<Wire.ListRoutesRequest>, context: ServerContext
  ) async throws -> ServerResponse<Wire.ListRoutesResponse> {
    ServerResponse(
      message: try await core.page(for: request.message, timeout: request.metadata.callTimeout))
  }

  package func getStatus(
    request: ServerRequest<Wire.GetStatusRequest>, context: ServerContext
  ) async throws -> ServerResponse<Wire.GetStatusResponse> {
    let view = try await view(request.message.demand, request.metadata)
    return ServerResponse(message: Wire.GetStatusResponse(core.status(of: view)))
  }

  private func view(
    _ demand: Wire.ReadDemand, _ metadata: Metadata
  ) async throws(NodeError) -> CatalogView {
    try await core.view(meeting: demand.value, timeout: metadata.callTimeout)
  }
}

extension Metadata {
  /// How long the caller waits, as the header `grpc-timeout` says it; nil when it waits for ever.
  package var callTimeout: Duration? {
    guard let text = self[stringValues: "grpc-timeout"].first(where: { _ in true }),
      let unit = text.last, let number = Int64(text.dropLast()), number >= 0,
      text.utf8.count <= 9
    else { return nil }
    return switch unit {
    case "H": .seconds(number * 3600)
    case "M": .seconds(number * 60)
    case "S": .seconds(number)
    case "m": .milliseconds(number)
    case "u": .microseconds(number)
    case "n": .nanoseconds(number)
    default: nil
    }
  }
}
