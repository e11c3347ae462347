import GRPCNIOTransportHTTP2Posix
import NIOCore
import NIOPosix

/// Accepts plain-text connections. The transport's own listener looks for a peer's certificate on
/// every call, also where there cannot be one.
package struct PlaintextListener: HTTP2ServerTransport.ListenerFactory {
  package let host: String
  package let port: Int
  package let eventLoopGroup: any EventLoopGroup
  /// Told of each connection that is accepted.
  package let connections: OpenConnections

  package init(
    host: String, port: Int, eventLoopGroup: any EventLoopGroup, connections: OpenConnections
  ) {
    self.host = host
    self.port = port
    self.eventLoopGroup = eventLoopGroup
    self.connections = connections
  }

  package func makeListeningChannel(
    listenerConfigurator: HTTP2ServerTransport.ListenerConfigurator,
    connectionConfigurator: HTTP2ServerTransport.ConnectionConfigurator
  ) async throws -> NIOAsyncChannel<
    HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel, Never
  > {
    try await ServerBootstrap(group: eventLoopGroup)
      .serverChannelOption(.backlog, value: 1024)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
      .serverChannelInitializer { listenerConfigurator.configure(channel: $0) }
      .bind(host: host, port: port) { [connections] channel in
        connections.add(channel)
        return connectionConfigurator.configure(channel: channel, tls: .none).map { connection in
          // One that is accepted while the listener closes is dropped by NIO, which traps when its
          // writer goes before the channel does: https://github.com/apple/swift-nio/issues/2813
          channel.closeFuture.whenComplete { _ in withExtendedLifetime(connection) {} }
          return connection
        }
      }
  }
}
