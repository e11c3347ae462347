/// Where a node listens: a host name or IP address, and a port.
public struct NodeAddress: Hashable, Sendable, CustomStringConvertible {
  /// A name, an IPv4 address, or an IPv6 address without brackets.
  public var host: String
  /// 0, where a node is told to listen: any free one.
  public var port: Int

  /// The node at a host and port.
  public init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  /// Reads `host:port`, with an IPv6 address in brackets.
  ///
  /// - Throws: ``MalformedMessage`` when it is not of that form.
  public init(_ text: some StringProtocol) throws(MalformedMessage) {
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...])
    else {
      throw MalformedMessage("\"\(text)\" is no address: write HOST:PORT, as in 127.0.0.1:7070")
    }
    var host = text[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = host.dropFirst().dropLast()
    } else if host.contains(":") {
      throw MalformedMessage("\"\(text)\": put an IPv6 address in brackets, as in [::1]:7070")
    }
    guard !host.isEmpty else {
      throw MalformedMessage("\"\(text)\" names no host: write HOST:PORT, as in 127.0.0.1:7070")
    }
    self.init(host: String(host), port: Int(port))
  }

  /// `host:port`, as it is read.
  public var description: String {
    host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
  }

  /// Whether only this machine can reach it.
  public var isLoopback: Bool {
    if host == "localhost" || host == "::1" { return true }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
  }
}
