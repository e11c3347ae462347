import CadastreClient
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import NIOCore
import NIOPosix

/// The gRPC server of a node, in plain text.
package final class NodeServer: Sendable {
  package typealias Transport = HTTP2ServerTransport.Custom<PlaintextListener>

  private let listen: NodeAddress
  private let server: GRPCServer<Transport>
  private let executor: EventLoopExecutor
  private let connections = OpenConnections()

  package init(
    listen: NodeAddress, services: [any RegistrableRPCService],
    connection: ConnectionOptions = ConnectionOptions(), calls: CallMetrics? = nil,
    eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
  ) {
    self.listen = listen
    var config = Transport.Config.defaults
    config.rpc.maxRequestPayloadSize = NodeClient.maximumMessageByteCount
    config.http2.targetWindowSize = connection.serverWindowByteCount
    config.http2.maxConcurrentStreams = 4096
    // Finds callers that vanished without a word, and suffers callers that look for us likewise.
    config.connection.keepalive.time = connection.serverKeepaliveTime
    config.connection.keepalive.timeout = connection.serverKeepaliveTimeout
    config.connection.keepalive.clientBehavior.allowWithoutCalls = true
    config.connection.keepalive.clientBehavior.minPingIntervalWithoutCalls = .seconds(1)
    server = GRPCServer(
      transport: Transport(
        listenerFactory: PlaintextListener(
          host: listen.host, port: listen.port, eventLoopGroup: eventLoopGroup,
          connections: connections),
        config: config),
      services: services, interceptorPipeline: calls?.interceptors(for: services) ?? [])
    executor = EventLoopExecutor(eventLoopGroup)
  }

  /// Serves until ``beginShutdown()`` and the end of all calls, or cancellation.
  ///
  /// - Throws: ``NodeError`` when the address cannot be listened on.
  package func serve() async throws {
    do {
      try await withTaskExecutorPreference(executor) { try await server.serve() }
    } catch let error as RuntimeError {
      if (error.cause as? IOError)?.errnoCode == EADDRINUSE {
        throw NodeError(
          .unavailable, reason: "address_in_use", "\(listen) is in use by another program",
          remedy: "listen on another port; port 0 takes any free one")
      }
      throw NodeError(
        .unknown, reason: "cannot_listen",
        "cannot listen on \(listen): \(error.cause.map { "\($0)" } ?? error.message)",
        remedy: "give an address of this machine, and a port that this user may take")
    }
  }

  /// The address that is listened on, once it is; nil when it never will be.
  package var address: NodeAddress? {
    get async {
      guard let address = await server.transport.listeningAddress else { return nil }
      if let ipv4 = address.ipv4 { return NodeAddress(host: ipv4.host, port: ipv4.port) }
      if let ipv6 = address.ipv6 { return NodeAddress(host: ipv6.host, port: ipv6.port) }
      return listen
    }
  }

  /// Takes no new connections and calls; those under way may end.
  package func beginShutdown() { server.beginGracefulShutdown() }

  /// Closes every connection, whatever is under way on it: ``serve()`` waits for each, also for those
  /// whose callers are no longer there.
  package func closeConnections() { connections.closeAll() }
}
