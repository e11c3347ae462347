import CadastreClient
import CadastreProtocol
import GRPCCore
import SwiftProtobuf

/// Answers gRPC's standard health checks, for load balancers, orchestrators and probes.
///
/// Reads, watches and replication serve for as long as the node runs: a node whose log is damaged
/// still answers from what is proven. The commands serve while somebody would decide them: not on a
/// log that is damaged, and at a learner only with a leader at the other end. The whole server, an
/// empty name, is as its reads are.
package struct HealthService: Grpc_Health_V1_Health.ServiceProtocol {
  private let core: NodeCore
  private let services: Set<String>
  /// How often a watch looks at what nothing announces, such as a leader that is gone.
  private let interval: Duration

  private static let commands = Cadastre_V1_CatalogCommands.descriptor.fullyQualifiedService

  /// A node that has `services`, by their full names.
  package init(_ core: NodeCore, services: Set<String>, interval: Duration = .milliseconds(500)) {
    self.core = core
    self.services = services
    self.interval = interval
  }

  package func check(
    request: ServerRequest<Grpc_Health_V1_HealthCheckRequest>, context: ServerContext
  ) async throws -> ServerResponse<Grpc_Health_V1_HealthCheckResponse> {
    let service = request.message.service
    let status = status(of: service)
    guard status != .serviceUnknown else {
      throw NodeError(
        .notFound, reason: "service_unknown", "this node has no service \(service)",
        remedy: "ask for one of \(services.sorted().joined(separator: ", ")), or for none by name")
    }
    return ServerResponse(message: .with { $0.status = status })
  }

  package func watch(
    request: ServerRequest<Grpc_Health_V1_HealthCheckRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Grpc_Health_V1_HealthCheckResponse> {
    let service = request.message.service
    let timeout = request.metadata.callTimeout
    return StreamingServerResponse { writer in
      try await core.changes.withSubscription { subscription in
        try await withRPCCancellationHandler {
          var last: Grpc_Health_V1_HealthCheckResponse.ServingStatus?
          while true {
            let status = status(of: service)
            if status != last { try await writer.write(.with { $0.status = status }) }
            last = status
            switch await subscription.wait(until: core.clock.now() + interval) {
            case .changed, .due: continue
            case .closed:
              // The last word of a node that stops.
              if last == .serving { try await writer.write(.with { $0.status = .notServing }) }
              return
            case .cancelled: throw RPCError.givenUp(hasDeadline: timeout != nil)
            }
          }
        } onCancelRPC: {
          subscription.cancel()
        }
      }
      return [:]
    }
  }

  private func status(
    of service: String
  ) -> Grpc_Health_V1_HealthCheckResponse.ServingStatus {
    guard service.isEmpty || services.contains(service) else { return .serviceUnknown }
    if core.changes.isClosed { return .notServing }
    return service != Self.commands || core.takesCommands ? .serving : .notServing
  }
}
