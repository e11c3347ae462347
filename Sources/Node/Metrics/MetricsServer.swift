import CadastreClient
import GRPCCore
import NIOCore
import NIOHTTP1
import NIOPosix

/// Answers `GET /metrics` over HTTP/1.1, on a port of its own.
package final class MetricsServer: Sendable {
  /// Who says nothing for so long is hung up on.
  private static let idleTimeout: TimeAmount = .seconds(60)

  private let channel: any Channel
  private let connections: OpenConnections
  /// Where it listens.
  package let address: NodeAddress

  private init(_ channel: any Channel, _ connections: OpenConnections, at address: NodeAddress) {
    self.channel = channel
    self.connections = connections
    self.address = address
  }

  /// Begins to listen. `text` makes the metrics; it is called on a thread that may block.
  ///
  /// - Throws: ``NodeError`` when the address cannot be listened on.
  package static func listen(
    on address: NodeAddress,
    eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
    text: @escaping @Sendable () -> String
  ) async throws -> MetricsServer {
    let connections = OpenConnections()
    let bootstrap = ServerBootstrap(group: eventLoopGroup)
      .serverChannelOption(.backlog, value: 64)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        connections.add(channel)
        return channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          try pipeline.addHandler(IdleStateHandler(allTimeout: idleTimeout))
          try pipeline.configureHTTPServerPipeline()
          try pipeline.addHandler(MetricsHandler(text: text))
        }
      }
    let channel: any Channel
    do {
      channel = try await bootstrap.bind(host: address.host, port: address.port).get()
    } catch let error as IOError where error.errnoCode == EADDRINUSE {
      throw NodeError(
        .unavailable, reason: "address_in_use",
        "\(address), for metrics, is in use by another program",
        remedy: "give another port with --metrics; port 0 takes any free one")
    } catch {
      throw NodeError(
        .unknown, reason: "cannot_listen", "cannot listen on \(address) for metrics: \(error)",
        remedy: "give an address of this machine, and a port that this user may take")
    }
    return MetricsServer(
      channel, connections,
      at: NodeAddress(host: address.host, port: channel.localAddress?.port ?? address.port))
  }

  /// Takes no more connections, and closes those that are there.
  package func close() async {
    await connections.closeAll()
    try? await channel.close()
  }
}

/// One caller's connection.
private final class MetricsHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let text: @Sendable () -> String
  private var request: HTTPRequestHead?

  init(text: @escaping @Sendable () -> String) { self.text = text }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): request = head
    // Whatever somebody sends with a request is passed over.
    case .body: break
    case .end:
      guard let request else { return }
      self.request = nil
      answer(request, context)
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if event is IdleStateHandler.IdleStateEvent { return context.close(promise: nil) }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // The peer is gone, or sends what is no HTTP; that was answered.
    context.close(promise: nil)
  }

  private func answer(_ request: HTTPRequestHead, _ context: ChannelHandlerContext) {
    let path = request.uri.prefix { $0 != "?" }
    guard path == "/metrics" || path == "/" else {
      return write(.notFound, "there is /metrics here\n", to: request, context)
    }
    guard request.method == .GET || request.method == .HEAD else {
      return write(
        .methodNotAllowed, "GET /metrics\n", to: request, context, more: [("allow", "GET, HEAD")])
    }
    guard path == "/metrics" else {
      return write(.ok, "Cadastre: /metrics is for Prometheus\n", to: request, context)
    }
    let text = text
    let (loop, bound) = (
      context.eventLoop, NIOLoopBound((self, context), eventLoop: context.eventLoop)
    )
    NIOThreadPool.singleton.runIfActive(eventLoop: loop, text).whenComplete { result in
      let (handler, context) = bound.value
      switch result {
      case .success(let text):
        handler.write(.ok, text, type: MetricsText.contentType, to: request, context)
      case .failure:
        handler.write(.serviceUnavailable, "this node is shutting down\n", to: request, context)
      }
    }
  }

  private func write(
    _ status: HTTPResponseStatus, _ text: String, type: String = "text/plain; charset=utf-8",
    to request: HTTPRequestHead, _ context: ChannelHandlerContext,
    more: [(String, String)] = []
  ) {
    let body = context.channel.allocator.buffer(string: text)
    var headers = HTTPHeaders(more)
    headers.add(name: "content-type", value: type)
    headers.add(name: "content-length", value: "\(body.readableBytes)")
    headers.add(name: "cache-control", value: "no-store")
    if !request.isKeepAlive { headers.add(name: "connection", value: "close") }
    let head = HTTPResponseHead(version: request.version, status: status, headers: headers)
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    if request.method != .HEAD {
      context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
    }
    let channel = context.channel
    let written = context.writeAndFlush(wrapOutboundOut(.end(nil)))
    if !request.isKeepAlive { written.whenComplete { _ in channel.close(promise: nil) } }
  }
}
