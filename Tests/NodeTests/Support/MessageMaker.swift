import CadastreProtocol
import Foundation
import GRPCCore
import SwiftProtobuf
import TestSupport

/// Random messages of every type of the protocol, right by their types and mostly wrong by what they
/// say; and the same with their bytes damaged.
struct MessageMaker {
  /// A method and the full name of what it takes.
  struct Method {
    var descriptor: MethodDescriptor
    var input: String
    /// Whether either side may send more than one message.
    var isStream: Bool
    /// Whether callers may.
    var takesStream: Bool
  }

  let methods: [Method]
  private let messages: [String: Google_Protobuf_DescriptorProto]
  var generator: SeededGenerator

  init(generator: SeededGenerator) throws {
    var methods: [Method] = []
    var messages: [String: Google_Protobuf_DescriptorProto] = [:]
    func add(_ message: Google_Protobuf_DescriptorProto, in scope: String) {
      messages["\(scope).\(message.name)"] = message
      for nested in message.nestedType { add(nested, in: "\(scope).\(message.name)") }
    }
    for text in ProtoFiles.descriptors {
      guard let data = Data(base64Encoded: text) else { continue }
      for file in try Google_Protobuf_FileDescriptorSet(serializedBytes: data).file {
        for message in file.messageType { add(message, in: ".\(file.package)") }
        for service in file.service {
          for method in service.method {
            methods.append(
              Method(
                descriptor: MethodDescriptor(
                  fullyQualifiedService: "\(file.package).\(service.name)", method: method.name),
                input: method.inputType, isStream: method.clientStreaming || method.serverStreaming,
                takesStream: method.clientStreaming))
          }
        }
      }
    }
    (self.methods, self.messages, self.generator) = (methods, messages, generator)
  }

  /// A message of a type, damaged in one of three.
  mutating func next(_ type: String) -> [UInt8] {
    var bytes = message(type, depth: 0)
    guard generator.oneIn(3) else { return bytes }
    for _ in 0..<Int.random(in: 1...4, using: &generator) { damage(&bytes) }
    return bytes
  }

  private mutating func damage(_ bytes: inout [UInt8]) {
    let index = bytes.isEmpty ? 0 : Int.random(in: 0..<bytes.count, using: &generator)
    switch Int.random(in: 0..<5, using: &generator) {
    case 0 where !bytes.isEmpty: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
    case 1: bytes = Array(bytes.prefix(index))
    case 2: bytes.insert(.random(in: .min ... .max, using: &generator), at: index)
    // A length of almost all that there can be.
    case 3: bytes.insert(contentsOf: [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x07], at: index)
    default: bytes += bytes.prefix(index)
    }
  }

  private mutating func message(_ type: String, depth: Int) -> [UInt8] {
    guard let fields = messages[type]?.field else { return [] }
    var bytes: [UInt8] = []
    for field in fields where !generator.oneIn(4) {
      let count = field.label == .repeated ? Int.random(in: 0...3, using: &generator) : 1
      for _ in 0..<count { append(field, to: &bytes, depth: depth) }
    }
    return bytes
  }

  private mutating func append(
    _ field: Google_Protobuf_FieldDescriptorProto, to bytes: inout [UInt8], depth: Int
  ) {
    let number = UInt64(field.number)
    switch field.type {
    case .message:
      guard depth < 3 else { return }
      let content = message(field.typeName, depth: depth + 1)
      bytes += Self.varint(number << 3 | 2) + Self.varint(UInt64(content.count)) + content
    case .string, .bytes:
      let content = content(isText: field.type == .string)
      bytes += Self.varint(number << 3 | 2) + Self.varint(UInt64(content.count)) + content
    case .double, .fixed64, .sfixed64:
      bytes += Self.varint(number << 3 | 1)
      for _ in 0..<8 { bytes.append(.random(in: .min ... .max, using: &generator)) }
    case .float, .fixed32, .sfixed32:
      bytes += Self.varint(number << 3 | 5)
      for _ in 0..<4 { bytes.append(.random(in: .min ... .max, using: &generator)) }
    default:
      let edges: [UInt64] = [0, 1, 2, 3, 7, 255, 65_535, 1 << 31, 1 << 32, 1 << 63, .max]
      let value =
        generator.oneIn(3)
        ? UInt64.random(in: .min ... .max, using: &generator)
        : edges[Int.random(in: 0..<edges.count, using: &generator)]
      bytes += Self.varint(number << 3) + Self.varint(value)
    }
  }

  private mutating func content(isText: Bool) -> [UInt8] {
    let words = ["", "a", "m", "eu-west", "*", "cadastre.v1.CatalogReads", "\u{0}", "é"]
    if isText || generator.oneIn(2) {
      return Array(words[Int.random(in: 0..<words.count, using: &generator)].utf8)
    }
    let lengths = [0, 1, 8, 16, 32, 33, 1024, 4096, 4097, 100_000]
    let count = lengths[Int.random(in: 0..<lengths.count, using: &generator)]
    return [UInt8](repeating: .random(in: .min ... .max, using: &generator), count: count)
  }

  private static func varint(_ value: UInt64) -> [UInt8] {
    var (bytes, rest) = ([UInt8](), value)
    while rest > 127 {
      bytes.append(UInt8(rest & 127) | 128)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }
}
