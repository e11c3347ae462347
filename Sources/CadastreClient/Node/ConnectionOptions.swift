/// How connections between nodes are kept.
public struct ConnectionOptions: Hashable, Sendable {
  /// How long nothing may come over a connection before the other side is asked whether it is there.
  public var keepaliveTime: Duration = .seconds(10)
  /// How long it may take to answer.
  public var keepaliveTimeout: Duration = .seconds(5)
  /// The same at the side that was connected to.
  public var serverKeepaliveTime: Duration = .seconds(30)
  /// How long that may take to answer there.
  public var serverKeepaliveTimeout: Duration = .seconds(10)
  /// The pause before the first try to connect again; each is 1.6 times as long as the one before.
  public var firstPause: Duration = .milliseconds(50)
  /// The longest pause.
  public var maximumPause: Duration = .seconds(2)
  /// How many bytes of a stream may be under way to this node before it has taken them: at least
  /// what the line carries in a round trip, or the stream runs slower than the line.
  public var clientWindowByteCount = 8 << 20
  /// The same at the side that was connected to.
  public var serverWindowByteCount = 1 << 20

  /// Whom this node trusts where it calls others, and how it says who it is.
  public var security = ClientSecurity()

  /// The options with the values above.
  public init() {}
}
