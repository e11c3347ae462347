import CadastreClient
import NIOCore
import NIOPosix

@testable import Node

/// What came back over a connection on which `request` was written, byte for byte, until the other
/// side closed it.
func exchange(_ request: String, with address: NodeAddress) async throws -> String {
  let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
    .connect(host: address.host, port: address.port) { channel in
      channel.eventLoop.makeCompletedFuture {
        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
      }
    }
  return try await channel.executeThenClose { inbound, outbound in
    try await outbound.write(ByteBuffer(string: request))
    var bytes = ByteBuffer()
    for try await part in inbound { bytes.writeImmutableBuffer(part) }
    return String(buffer: bytes)
  }
}

/// The head and the body of the answer to a request.
func httpCall(
  _ method: String, _ path: String, at address: NodeAddress
) async throws -> (head: String, body: String) {
  let answer = try await exchange(
    "\(method) \(path) HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\n\r\n", with: address)
  let parts = answer.split(separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
  return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
}
