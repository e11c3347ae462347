import CadastreProtocol
import Foundation
import SwiftProtobuf

/// The files of the protocol that this node speaks, by name and by what they define.
struct ProtoIndex: Sendable {
  /// The index of all that was generated.
  static let generated = ProtoIndex(sets: ProtoFiles.descriptors)

  private var files: [String: Google_Protobuf_FileDescriptorProto] = [:]
  /// Full name of a service, method, message, field or enumeration to the name of its file.
  private var fileOfSymbol: [String: String] = [:]
  /// The full names of all services, in order.
  private(set) var services: [String] = []

  /// An index of FileDescriptorSets in base 64.
  init(sets: [String]) {
    for text in sets {
      guard let data = Data(base64Encoded: text),
        let set = try? Google_Protobuf_FileDescriptorSet(serializedBytes: data)
      else { preconditionFailure("`make proto` writes descriptors that can be read") }
      for file in set.file { add(file) }
    }
    services.sort()
  }

  private mutating func add(_ file: Google_Protobuf_FileDescriptorProto) {
    files[file.name] = file
    let package = file.package.isEmpty ? "" : file.package + "."
    for service in file.service {
      services.append(package + service.name)
      fileOfSymbol[package + service.name] = file.name
      for method in service.method {
        fileOfSymbol["\(package)\(service.name).\(method.name)"] = file.name
      }
    }
    for message in file.messageType { add(message, in: package, of: file.name) }
    for enumeration in file.enumType { add(enumeration, in: package, of: file.name) }
  }

  private mutating func add(
    _ message: Google_Protobuf_DescriptorProto, in scope: String, of file: String
  ) {
    let name = scope + message.name
    fileOfSymbol[name] = file
    for field in message.field { fileOfSymbol["\(name).\(field.name)"] = file }
    for oneof in message.oneofDecl { fileOfSymbol["\(name).\(oneof.name)"] = file }
    for nested in message.nestedType { add(nested, in: name + ".", of: file) }
    for enumeration in message.enumType { add(enumeration, in: name + ".", of: file) }
  }

  private mutating func add(
    _ enumeration: Google_Protobuf_EnumDescriptorProto, in scope: String, of file: String
  ) {
    fileOfSymbol[scope + enumeration.name] = file
    // Values stand beside their enumeration, not in it.
    for value in enumeration.value { fileOfSymbol[scope + value.name] = file }
  }

  /// The name of the file that defines a symbol.
  func file(defining symbol: String) -> String? { fileOfSymbol[symbol] }

  /// The file of this name and all that it imports, each once, serialized; nil when there is none.
  func files(named name: String) -> [Data]? {
    guard files[name] != nil else { return nil }
    var found: [Data] = []
    var seen: Set<String> = []
    var waiting = [name]
    while let next = waiting.popLast() {
      guard seen.insert(next).inserted, let file = files[next],
        let bytes = try? file.serializedBytes() as Data
      else { continue }
      found.append(bytes)
      waiting += file.dependency
    }
    return found
  }
}
