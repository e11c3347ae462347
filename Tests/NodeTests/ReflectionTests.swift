import CadastreClient
import CadastreProtocol
import GRPCCore
import SwiftProtobuf
import Testing

@testable import Node

@Suite struct ReflectionTests {
  private func answer(
    _ fill: (inout Grpc_Reflection_V1_ServerReflectionRequest) -> Void
  ) -> Grpc_Reflection_V1_ServerReflectionResponse {
    ReflectionService.answer(.with(fill))
  }

  @Test func listsTheServices() {
    let names = answer { $0.listServices = "" }.listServicesResponse.service.map(\.name)
    #expect(names == names.sorted())
    for name in [
      "cadastre.v1.CatalogReads", "cadastre.v1.CatalogWatch", "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
    ] {
      #expect(names.contains(name))
    }
  }

  @Test func aSymbolsFileComesWithItsImports() throws {
    for symbol in [
      "cadastre.v1.CatalogReads", "cadastre.v1.CatalogReads.Resolve", "cadastre.v1.ResolveRequest",
      "cadastre.v1.ResolveRequest.key",
    ] {
      let response = answer { $0.fileContainingSymbol = symbol }
      let files = try response.fileDescriptorResponse.fileDescriptorProto.map {
        try Google_Protobuf_FileDescriptorProto(serializedBytes: $0)
      }
      #expect(files.map(\.name) == ["cadastre/v1/reads.proto", "cadastre/v1/types.proto"])
      #expect(response.originalRequest.fileContainingSymbol == symbol)
    }
  }

  @Test func saysWhatIsNotThere() {
    #expect(answer { $0.fileByFilename = "no.proto" }.errorResponse.errorCode == 5)
    #expect(answer { $0.fileContainingSymbol = "cadastre.v1.No" }.errorResponse.errorCode == 5)
    #expect(answer { $0.allExtensionNumbersOfType = "no.Type" }.errorResponse.errorCode == 5)
    #expect(answer { _ in }.errorResponse.errorCode == 3)
    let known = answer { $0.allExtensionNumbersOfType = "cadastre.v1.Route" }
    #expect(known.allExtensionNumbersResponse.extensionNumber.isEmpty)
  }

  /// Every service that a node registers can be looked up by a tool that knows nothing.
  @Test func bothVersionsAnswerOverTheWire() async throws {
    try await withLeader { node in
      let old = Grpc_Reflection_V1alpha_ServerReflection.Client(wrapping: node.client.client)
      let names = try await old.serverReflectionInfo { writer in
        try await writer.write(.with { $0.listServices = "*" })
      } onResponse: { response in
        var names: [String] = []
        for try await message in response.messages {
          names += message.listServicesResponse.service.map(\.name)
        }
        return names
      }
      #expect(names == ProtoIndex.generated.services)
    }
  }
}
