import CadastreClient
import CadastreProtocol
import Catalog
import GRPCCore
import StateMachines

/// Where commands go: to this node's own store, or on to the leader.
package protocol CommandSink: Sendable {
  /// - Parameters:
  ///   - command: What is to be done.
  ///   - timeout: How long the caller waits; nil for ever.
  ///   - hops: How many nodes passed it on already.
  /// - Returns: What became of it, once that is durable.
  /// - Throws: ``NodeError`` with the details of the refusal.
  func submit(
    _ command: Command, timeout: Duration?, hops: Int
  ) async throws(NodeError) -> CommandReceipt
}

/// Takes commands: reads them, hands them to the sink, answers.
package struct CommandsService: Cadastre_V1_CatalogCommands.ServiceProtocol {
  private let sink: any CommandSink

  package init(_ sink: any CommandSink) { self.sink = sink }

  package func bootstrap(
    request: ServerRequest<Wire.BootstrapRequest>, context: ServerContext
  ) async throws -> ServerResponse<Wire.CommandResponse> {
    try await submit(request)
  }

  package func split(
    request: ServerRequest<Wire.SplitRequest>, context: ServerContext
  ) async throws -> ServerResponse<Wire.CommandResponse> {
    try await submit(request)
  }

  package func splitBatch(
    request: ServerRequest<Wire.SplitBatchRequest>, context: ServerContext
  ) async throws -> ServerResponse<Wire.CommandResponse> {
    try await submit(request)
  }

  package func merge(
    request: ServerRequest<Wire.MergeRequest>, context: ServerContext
  ) async throws -> ServerResponse<Wire.CommandResponse> {
    try await submit(request)
  }

  package func move(
    request: ServerRequest<Wire.MoveRequest>, context: ServerContext
  ) async throws -> ServerResponse<Wire.CommandResponse> {
    try await submit(request)
  }

  package func setState(
    request: ServerRequest<Wire.SetStateRequest>, context: ServerContext
  ) async throws -> ServerResponse<Wire.CommandResponse> {
    try await submit(request)
  }

  package func setAllowedRegions(
    request: ServerRequest<Wire.SetAllowedRegionsRequest>, context: ServerContext
  ) async throws -> ServerResponse<Wire.CommandResponse> {
    try await submit(request)
  }

  package func arrange(
    request: ServerRequest<Wire.ArrangeRequest>, context: ServerContext
  ) async throws -> ServerResponse<Wire.CommandResponse> {
    try await submit(request)
  }

  /// Has what a request asks for carried out, in the name of whoever asks where the node knows that.
  func submit(
    _ request: ServerRequest<some WireCommand>
  ) async throws -> ServerResponse<Wire.CommandResponse> {
    var command = try request.message.command()
    if let caller = Caller.current { command.actor = caller.name }
    let receipt = try await sink.submit(
      command, timeout: request.metadata.callTimeout,
      hops: request.metadata.forwardingHops)
    return ServerResponse(message: Wire.CommandResponse(receipt))
  }
}

extension Metadata {
  /// How many nodes passed the command on; as many as there may be where that cannot be read.
  fileprivate var forwardingHops: Int {
    guard let text = self[stringValues: CommandForwarding.header].first(where: { _ in true })
    else { return 0 }
    guard let hops = Int(text), hops >= 0 else { return CommandForwarding.maximumHops }
    return hops
  }
}
