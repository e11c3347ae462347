import CadastreProtocol
import GRPCCore
import SwiftProtobuf

/// A message as its bytes on the wire, so that one encoding serves many streams.
struct EncodedMessage: Sendable {
  let bytes: [UInt8]

  /// - Throws: Nothing in fact: the protocol's messages can always be encoded.
  init(_ message: some SwiftProtobuf.Message) throws {
    bytes = try message.serializedBytes()
  }
}

/// Writes messages that are encoded already.
struct EncodedMessageSerializer: MessageSerializer {
  func serialize<Bytes: GRPCContiguousBytes>(_ message: EncodedMessage) throws -> Bytes {
    Bytes(message.bytes)
  }
}
