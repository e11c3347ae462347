import GRPCCore
import GRPCNIOTransportHTTP2Posix

/// The transport of a client, which says why there is no connection where that is known.
package struct NodeTransport: ClientTransport {
  package typealias Bytes = HTTP2ClientTransport.Posix.Bytes

  private let base: HTTP2ClientTransport.Posix
  private let problem: ConnectionProblem

  init(_ base: HTTP2ClientTransport.Posix, problem: ConnectionProblem) {
    self.base = base
    self.problem = problem
  }

  package var retryThrottle: RetryThrottle? { base.retryThrottle }

  package func connect() async throws { try await base.connect() }

  package func beginGracefulShutdown() { base.beginGracefulShutdown() }

  package func config(forMethod descriptor: MethodDescriptor) -> MethodConfig? {
    base.config(forMethod: descriptor)
  }

  package func withStream<Result: Sendable>(
    descriptor: MethodDescriptor, options: CallOptions,
    _ closure: (RPCStream<Inbound, Outbound>, ClientContext) async throws -> Result
  ) async throws -> Result {
    do {
      return try await base.withStream(descriptor: descriptor, options: options, closure)
    } catch let error as RPCError {
      // A node that answers says more itself.
      guard error.code == .unavailable, error.metadata.isEmpty, let problem = problem.current else {
        throw error
      }
      throw RPCError(
        NodeError(.unavailable, reason: problem.reason, problem.message, remedy: problem.remedy))
    }
  }
}
