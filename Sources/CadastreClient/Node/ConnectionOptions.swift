/// How connections between nodes are kept.
package struct ConnectionOptions: Hashable, Sendable {
  /// How long nothing may come over a connection before the other side is asked whether it is there.
  package var keepaliveTime: Duration = .seconds(10)
  /// How long it may take to answer.
  package var keepaliveTimeout: Duration = .seconds(5)
  /// The same at the side that was connected to.
  package var serverKeepaliveTime: Duration = .seconds(30)
  package var serverKeepaliveTimeout: Duration = .seconds(10)
  /// The pause before the first try to connect again; each is 1.6 times as long as the one before.
  package var firstPause: Duration = .milliseconds(50)
  package var maximumPause: Duration = .seconds(2)
  /// How many bytes of a stream may be under way to this node before it has taken them: at least
  /// what the line carries in a round trip, or the stream runs slower than the line.
  package var clientWindowByteCount = 8 << 20
  package var serverWindowByteCount = 1 << 20

  /// Whom this node trusts where it calls others, and how it says who it is.
  package var security = ClientSecurity()

  package init() {}
}
