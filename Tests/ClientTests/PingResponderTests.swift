import CadastreClient
import NIOCore
import NIOEmbedded
import TestSupport
import Testing

@Suite struct PingResponderTests {
  /// A frame of a kind, and whether it is a PING that wants an answer.
  private static func frame(_ kind: UInt8, flags: UInt8 = 0, _ payload: [UInt8]) -> [UInt8] {
    let count = payload.count
    return [UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255), kind, flags]
      + [0, 0, 0, 0] + payload
  }

  private static func channel(isServer: Bool) throws -> EmbeddedChannel {
    let channel = EmbeddedChannel(handler: PingResponder(isServer: isServer))
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    return channel
  }

  /// Frames of all kinds, cut anywhere: what is passed on is all but the PINGs, in order, and each PING
  /// has its answer.
  @Test(arguments: UInt64(1)...60) func whateverIsNotAPingIsPassedOn(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let isServer = Bool.random(using: &generator)
    let channel = try Self.channel(isServer: isServer)
    var (sent, expected, answers): ([UInt8], [UInt8], [UInt8]) = ([], [], [])
    if isServer {
      let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
      (sent, expected) = (preface, preface)
    }
    for _ in 0..<50 {
      let payload = (0..<8).map { _ in UInt8.random(in: 0...255, using: &generator) }
      if Bool.random(using: &generator) {
        sent += Self.frame(6, payload)
        answers += Self.frame(6, flags: 1, payload)
        continue
      }
      let other: [UInt8]
      switch Int.random(in: 0...2, using: &generator) {
      case 0: other = Self.frame(6, flags: 1, payload)  // An answer is for HTTP/2.
      case 1: other = Self.frame(6, payload + [0])  // Malformed: HTTP/2 says so.
      default:
        let count = Int.random(in: 0...300, using: &generator)
        // Bytes that look like a PING inside of a frame are none.
        other = Self.frame(
          0,
          Array(
            (Self.frame(6, payload) + [UInt8](repeating: 6, count: 300))
              .prefix(count)))
      }
      sent += other
      expected += other
    }
    var rest = sent[...]
    while !rest.isEmpty {
      let piece = rest.prefix(Int.random(in: 1...40, using: &generator))
      rest = rest.dropFirst(piece.count)
      try channel.writeInbound(ByteBuffer(bytes: piece))
    }
    var (passed, answered): ([UInt8], [UInt8]) = ([], [])
    while let buffer = try channel.readInbound(as: ByteBuffer.self) {
      passed += Array(buffer.readableBytesView)
    }
    while let buffer = try channel.readOutbound(as: ByteBuffer.self) {
      answered += Array(buffer.readableBytesView)
    }
    #expect(passed == expected, "seed \(seed)")
    #expect(answered == answers, "seed \(seed)")
    _ = try? channel.finish()
  }

  @Test func whoSendsNothingButPingsIsClosed() throws {
    let channel = try Self.channel(isServer: false)
    let ping = ByteBuffer(bytes: Self.frame(6, [UInt8](repeating: 1, count: 8)))
    for _ in 0..<PingResponder.maximumPerSecond { try channel.writeInbound(ping) }
    #expect(channel.isActive)
    // One more within the second, unless the machine took longer for those above.
    for _ in 0..<PingResponder.maximumPerSecond where channel.isActive {
      try channel.writeInbound(ping)
    }
    #expect(!channel.isActive)
    _ = try? channel.finish()
  }
}
