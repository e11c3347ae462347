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

  /// A transport to one address, which connects once it is run. Some servers end a connection that
  /// asks whether they are there while there is no call: `asksWithoutCalls` is false for those.
  ///
  /// - Throws: ``NodeError`` when the address is none that can be connected to, or a file of
  ///   `connection` cannot be used.
  package init(
    to address: NodeAddress, _ connection: ConnectionOptions, asksWithoutCalls: Bool = true
  ) throws(NodeError) {
    let preparation = try ConnectionPreparation(of: address, connection.security)
    do {
      self.init(
        try HTTP2ClientTransport.Posix(
          target: address.target,
          transportSecurity: connection.security.isEncrypted ? .customSecure : .plaintext,
          config: .defaults { config in
            config.channelDebuggingCallbacks.onCreateTCPConnection = { preparation.prepare($0) }
            config.backoff = .init(
              initial: connection.firstPause, max: connection.maximumPause, multiplier: 1.6,
              jitter: 0.2)
            config.http2.targetWindowSize = connection.clientWindowByteCount
            // Finds servers that vanished without a word.
            config.connection.keepalive = .init(
              time: connection.keepaliveTime, timeout: connection.keepaliveTimeout,
              allowWithoutCalls: asksWithoutCalls)
          }), problem: preparation.problem)
    } catch {
      throw NodeError(.invalidArgument, "\(address) cannot be connected to: \(error)")
    }
  }

  /// Why there is no connection, where that is known: a call that waits for one until its time is up
  /// is not told.
  package var connectionProblem: TLSProblem? { problem.current }

  package var retryThrottle: RetryThrottle? { base.retryThrottle }

  package func connect() async throws {
    let connecting = Task { try await base.connect() }
    try await withTaskCancellationHandler {
      try await connecting.value
    } onCancel: {
      // In this order: a call that waits for a connection is refused. A cancelled one may wait too,
      // and nobody would tell it any more.
      base.beginGracefulShutdown()
      connecting.cancel()
    }
  }

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

extension NodeAddress {
  fileprivate var target: any ResolvableTarget {
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    if parts.count == 4, parts.allSatisfy({ UInt8($0) != nil }) {
      return .ipv4(address: host, port: port)
    }
    return host.contains(":") ? .ipv6(address: host, port: port) : .dns(host: host, port: port)
  }
}
