import CadastreClient
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Logging
import NIOCore
import NIOPosix

/// The gRPC server of a node.
package final class NodeServer: Sendable {
  package typealias Transport = HTTP2ServerTransport.Custom<NodeListener>

  private let listen: NodeAddress
  private let server: GRPCServer<Transport>
  private let executor: EventLoopExecutor
  private let connections: OpenConnections

  /// Without `security` in plain text, for whoever reaches it.
  package init(
    listen: NodeAddress, services: [any RegistrableRPCService],
    connection: ConnectionOptions = ConnectionOptions(),
    limits: ConnectionLimits = ConnectionLimits(), security: NodeSecurity? = nil,
    calls: CallMetrics? = nil, logger: Logger? = nil,
    eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
  ) {
    self.listen = listen
    connections = OpenConnections(logger: logger)
    var config = Transport.Config.defaults
    config.rpc.maxRequestPayloadSize = limits.messageByteCount
    config.http2.targetWindowSize = connection.serverWindowByteCount
    config.http2.maxConcurrentStreams = limits.streamsPerConnection
    let showsCertificates = security?.certificates != nil
    config.channelDebuggingCallbacks.onAcceptHTTP2Stream = { stream in
      stream.eventLoop.makeCompletedFuture {
        let pipeline = stream.pipeline.syncOperations
        if showsCertificates {
          try pipeline.addHandler(ConnectionNumberHandler(), position: .first)
        }
        try pipeline.addHandler(UnfinishedMessageHandler(), position: .first)
      }
    }
    // Finds callers that vanished without a word, and suffers callers that look for us likewise.
    config.connection.keepalive.time = connection.serverKeepaliveTime
    config.connection.keepalive.timeout = connection.serverKeepaliveTimeout
    config.connection.keepalive.clientBehavior.allowWithoutCalls = true
    config.connection.keepalive.clientBehavior.minPingIntervalWithoutCalls = .seconds(1)
    server = GRPCServer(
      transport: Transport(
        listenerFactory: NodeListener(
          host: listen.host, port: listen.port, eventLoopGroup: eventLoopGroup, limits: limits,
          security: security?.context, certificates: security?.certificates,
          messages: UnfinishedMessages(messageByteCount: limits.messageByteCount),
          connections: connections),
        config: config),
      services: services,
      // Those that are not let in count as calls too.
      interceptorPipeline: (calls?.interceptors(for: services) ?? [])
        + [security?.control].compactMap { $0.map { .apply($0, to: .all) } })
    executor = EventLoopExecutor(eventLoopGroup)
  }

  /// Serves until ``beginShutdown()`` and the end of all calls, or until cancellation, which closes every
  /// connection, whatever is under way on it.
  ///
  /// - Throws: ``NodeError`` when the address cannot be listened on.
  package func serve() async throws {
    // Not cancelled itself before the last connection is closed: the transport takes no more calls from
    // then on, and NIO traps when one that a caller just began is dropped.
    let serving = Task(executorPreference: executor) { [server] in try await server.serve() }
    do {
      try await withTaskCancellationHandler {
        try await serving.value
      } onCancel: {
        server.beginGracefulShutdown()
        Task { [connections] in
          await connections.closeAll()
          serving.cancel()
        }
      }
    } catch let error as RuntimeError {
      // Stopped before it listened.
      guard !Task.isCancelled else { return }
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
}
