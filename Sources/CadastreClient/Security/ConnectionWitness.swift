import NIOCore
import NIOSSL
import Synchronization

/// Why the last connection of a client did not come about: the transport tells its callers only that
/// it did not.
final class ConnectionProblem: Sendable {
  private let problem = Mutex<TLSProblem?>(nil)

  var current: TLSProblem? { problem.withLock { $0 } }
  func note(_ new: TLSProblem?) { problem.withLock { $0 = new } }
}

/// Sees how a connection begins, between TLS, where there is any, and HTTP/2.
final class ConnectionWitness: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private let problem: ConnectionProblem
  private let server: String
  /// The name that the server's certificate must be for; nil in plain text.
  private let name: String?
  /// Whether the other side has said something that was understood.
  private var isOpen = false
  private var hasFailed = false
  private var isConnected = false

  init(_ problem: ConnectionProblem, server: String, name: String?) {
    self.problem = problem
    self.server = server
    self.name = name
  }

  func channelActive(context: ChannelHandlerContext) {
    isConnected = true
    context.fireChannelActive()
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    // Nobody was there: what was wrong with somebody earlier says nothing any more.
    if !isConnected { problem.note(nil) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if !isOpen, !hasFailed {
      // An alert, or another record of TLS: its kind, and the first byte of its version.
      let start = unwrapInboundIn(data).readableBytesView.prefix(2)
      if name == nil, start.elementsEqual([0x15, 0x03]) || start.elementsEqual([0x16, 0x03]) {
        note(Self.wantsTLS(server))
      } else {
        isOpen = true
        problem.note(nil)
      }
    }
    context.fireChannelRead(data)
    // There is nothing more to see.
    if isOpen { context.pipeline.syncOperations.removeHandler(context: context, promise: nil) }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if let name, error is NIOSSLError || error is BoringSSLError || error is NIOSSLExtraError {
      let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate()
      note(TLSProblem(error, at: server, certificate: certificate, name: name))
    }
    context.fireErrorCaught(error)
  }

  func channelInactive(context: ChannelHandlerContext) {
    note(
      name == nil
        ? Self.wantsTLS(server)
        : TLSProblem(NIOSSLError.uncleanShutdown, at: server, certificate: nil, name: ""))
    context.fireChannelInactive()
  }

  /// Notes the first problem of a connection that never came about: what follows from it says less.
  private func note(_ new: TLSProblem) {
    guard !isOpen, !hasFailed else { return }
    hasFailed = true
    problem.note(new)
  }

  private static func wantsTLS(_ server: String) -> TLSProblem {
    TLSProblem(
      reason: "server_wants_tls",
      "\(server) ended the connection before it said a word of gRPC: it may speak TLS",
      remedy: "give the certificate of its signer with --ca, or --tls where the system trusts it")
  }
}
