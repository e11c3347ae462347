import CadastreClient
import GRPCNIOTransportHTTP2Posix
import NIOCore
import NIOPosix
import NIOSSL

/// Accepts connections, in plain text or encrypted. The transport's own listener looks for a peer's
/// certificate on every call, also where there cannot be one; and it takes its own certificate once
/// and for all.
package struct NodeListener: HTTP2ServerTransport.ListenerFactory {
  package let host: String
  package let port: Int
  package let eventLoopGroup: any EventLoopGroup
  package let limits: ConnectionLimits
  /// What the next connection is encrypted with; nil in plain text.
  package let security: WatchedFiles<NIOSSLContext>?
  /// Gets the certificates of callers; nil where none are asked for.
  package let certificates: PeerCertificates?
  /// What all connections have of messages that are not whole.
  package let messages: UnfinishedMessages
  /// Told of each connection that is accepted.
  package let connections: OpenConnections

  /// A connection that is one too many.
  private struct TooManyConnections: Error {}

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
      .bind(host: host, port: port) { channel in
        guard connections.add(channel, atMost: limits.connections) else {
          // NIO drops what fails here, and goes on accepting.
          return channel.close().flatMapThrowing { throw TooManyConnections() }
        }
        return channel.eventLoop.makeCompletedFuture {
          try prepare(channel.pipeline.syncOperations)
        }
        .flatMap {
          connectionConfigurator.configure(
            channel: channel, tls: security == nil ? .none : .configured(requireALPN: false))
        }
        .map { connection in
          // One that is accepted while the listener closes is dropped by NIO, which traps when its
          // writer goes before the channel does: https://github.com/apple/swift-nio/issues/2813
          channel.closeFuture.whenComplete { _ in withExtendedLifetime(connection) {} }
          return connection
        }
      }
  }

  /// Puts what comes before HTTP/2 into a connection's pipeline.
  private func prepare(_ pipeline: ChannelPipeline.SynchronousOperations) throws {
    if let security {
      try pipeline.addHandler(NIOSSLServerHandler(context: security.current))
      try pipeline.addHandler(HandshakeWitness(connections))
      if let certificates { try pipeline.addHandler(PeerCertificateReader(certificates)) }
    }
    try pipeline.addHandler(
      ConnectionMessages(messages, messageByteCount: limits.messageByteCount))
    try pipeline.addHandler(
      FrameDeadlineHandler(patience: limits.patience) { [connections] channel in
        connections.note(
          "closed the connection of a caller that was silent in the middle of a frame", channel)
      })
    try pipeline.addHandler(PingResponder(isServer: true))
  }
}

/// Sees handshakes that fail.
private final class HandshakeWitness: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private let connections: OpenConnections

  init(_ connections: OpenConnections) { self.connections = connections }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    switch error {
    case NIOSSLError.handshakeFailed(let problem):
      let text = "\(problem)"
      connections.note(
        text.contains("WRONG_VERSION_NUMBER") || text.contains("HTTP_REQUEST")
          ? "refused a caller that speaks plain text: this node takes TLS alone"
          : text.contains("PEER_DID_NOT_RETURN_A_CERTIFICATE")
            ? "refused a caller without a certificate"
            : "refused a caller whose handshake failed: \(text)",
        context.channel)
    default: break
    }
    context.fireErrorCaught(error)
  }
}
