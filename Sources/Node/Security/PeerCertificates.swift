import NIOCore
import NIOHPACK
import NIOHTTP2
import NIOSSL
import NIOTLS
import Synchronization

/// The certificates of the callers that are connected, by numbers of their connections.
///
/// The transport tells a service nothing of the connection but its address, and that may be another's
/// when the call is looked at. So each call carries the number of its connection in a header of its
/// own, which is put there where the stream begins and taken from whoever sends one.
package final class PeerCertificates: Sendable {
  static let header = "cadastre-connection"

  private struct State {
    var last: UInt64 = 0
    var certificates: [UInt64: PeerCertificate] = [:]
  }

  private let state = Mutex(State())

  package init() {}

  /// The certificate of the connection that a call came by, as its header says; nil where the caller
  /// showed none.
  func certificate(_ header: String) -> PeerCertificate? {
    UInt64(header).flatMap { number in state.withLock { $0.certificates[number] } }
  }

  /// Takes in a connection until it is closed.
  fileprivate func add(_ certificate: PeerCertificate, _ channel: any Channel) -> UInt64 {
    let number = state.withLock { state in
      state.last += 1
      state.certificates[state.last] = certificate
      return state.last
    }
    channel.closeFuture.whenComplete { [weak self] _ in
      _ = self?.state.withLock { $0.certificates.removeValue(forKey: number) }
    }
    return number
  }
}

/// Learns whom a connection comes from, once TLS is agreed upon.
final class PeerCertificateReader: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private let certificates: PeerCertificates
  /// Nil as long as nothing is known of the caller.
  private(set) var number: UInt64?

  init(_ certificates: PeerCertificates) { self.certificates = certificates }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .handshakeCompleted = event as? TLSUserEvent,
      let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate(),
      // One that nobody can read proves nothing.
      let peer = try? PeerCertificate(certificate)
    {
      number = certificates.add(peer, context.channel)
    }
    context.fireUserInboundEventTriggered(event)
  }
}

/// Writes the number of the connection into the head of each call.
final class ConnectionNumberHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTP2Frame.FramePayload
  typealias InboundOut = HTTP2Frame.FramePayload

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .headers(var head) = unwrapInboundIn(data) else {
      return context.fireChannelRead(data)
    }
    head.headers.remove(name: PeerCertificates.header)
    let reader = try? context.channel.parent?.pipeline.syncOperations
      .handler(type: PeerCertificateReader.self)
    if let number = reader?.number {
      head.headers.add(name: PeerCertificates.header, value: "\(number)")
    }
    context.fireChannelRead(wrapInboundOut(.headers(head)))
  }
}
