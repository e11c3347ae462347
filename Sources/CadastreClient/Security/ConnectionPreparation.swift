import GRPCCore
import GRPCNIOTransportHTTP2Posix
import NIOCore
import NIOSSL

/// Puts what comes before HTTP/2 into the connections of a client. The transport would take
/// certificates once and for all; here each new connection takes those that its files hold by then.
struct ConnectionPreparation: Sendable {
  /// Why the last connection did not come about.
  let problem = ConnectionProblem()

  private let server: String
  /// Nil in plain text.
  private let context: WatchedFiles<NIOSSLContext>?
  /// The name that the server's certificate must be for; nil: its IP address.
  private let name: String?

  /// - Throws: ``NodeError`` when a file cannot be used.
  init(of address: NodeAddress, _ security: ClientSecurity) throws(NodeError) {
    server = "\(address)"
    context = try security.makeContext()
    if let name = security.serverName {
      guard !name.isEmpty, !Self.isIPAddress(name) else {
        throw NodeError(
          .invalidArgument, reason: "server_name", "\"\(name)\" is no name of a host",
          remedy: "give the name in the server's certificate; one for an IP address is expected "
            + "where that address is connected to")
      }
      self.name = name
    } else {
      name = Self.isIPAddress(address.host) ? nil : address.host
    }
  }

  func prepare(_ channel: any Channel) -> EventLoopFuture<Void> {
    channel.eventLoop.makeCompletedFuture {
      let pipeline = channel.pipeline.syncOperations
      // Last of what comes before HTTP/2.
      try pipeline.addHandler(PingResponder(isServer: false), position: .first)
      guard let context else {
        let witness = ConnectionWitness(problem, server: server, name: nil)
        return try pipeline.addHandler(witness, position: .first)
      }
      // New files that cannot be used leave those before in use.
      _ = context.look()
      let expected = name ?? channel.remoteAddress?.ipAddress ?? server
      try pipeline.addHandler(
        ConnectionWitness(problem, server: server, name: expected), position: .first)
      try pipeline.addHandler(
        NIOSSLClientHandler(context: context.current, serverHostname: name), position: .first)
    }
  }

  private static func isIPAddress(_ host: String) -> Bool {
    (try? NIOCore.SocketAddress(ipAddress: host, port: 0)) != nil
  }
}
