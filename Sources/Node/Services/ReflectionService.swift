import CadastreProtocol
import Foundation
import GRPCCore
import SwiftProtobuf

/// Tells tools that have no copy of the protocol which services and messages there are.
package struct ReflectionService: Grpc_Reflection_V1_ServerReflection.ServiceProtocol {
  package init() {}

  package func serverReflectionInfo(
    request: StreamingServerRequest<Grpc_Reflection_V1_ServerReflectionRequest>,
    context: ServerContext
  ) async throws -> StreamingServerResponse<Grpc_Reflection_V1_ServerReflectionResponse> {
    StreamingServerResponse { writer in
      for try await request in request.messages {
        try await writer.write(Self.answer(request))
      }
      return [:]
    }
  }

  static func answer(
    _ request: Grpc_Reflection_V1_ServerReflectionRequest
  ) -> Grpc_Reflection_V1_ServerReflectionResponse {
    var response = Grpc_Reflection_V1_ServerReflectionResponse()
    response.validHost = request.host
    response.originalRequest = request
    let index = ProtoIndex.generated
    switch request.messageRequest {
    case .fileByFilename(let name):
      response.files(index.files(named: name), of: "a file \(name)")
    case .fileContainingSymbol(let symbol):
      response.files(
        index.file(defining: symbol).flatMap { index.files(named: $0) }, of: "a symbol \(symbol)")
    case .listServices:
      response.listServicesResponse.service = index.services.map { name in
        .with { $0.name = name }
      }
    case .fileContainingExtension(let request):
      response.files(nil, of: "an extension of \(request.containingType)")
    case .allExtensionNumbersOfType(let type):
      // The protocol has no extensions, so no type has any.
      if index.file(defining: type) == nil {
        response.files(nil, of: "a type \(type)")
      } else {
        response.allExtensionNumbersResponse.baseTypeName = type
      }
    case nil:
      response.errorResponse = .with {
        $0.errorCode = Int32(Status.Code.invalidArgument.rawValue)
        $0.errorMessage = "the request asks for nothing"
      }
    }
    return response
  }
}

extension Grpc_Reflection_V1_ServerReflectionResponse {
  fileprivate mutating func files(_ files: [Data]?, of subject: String) {
    if let files {
      fileDescriptorResponse.fileDescriptorProto = files
    } else {
      errorResponse = .with {
        $0.errorCode = Int32(Status.Code.notFound.rawValue)
        $0.errorMessage = "this node's protocol has not \(subject)"
      }
    }
  }
}

/// The same under its older name, which many tools still ask for first.
package struct OldReflectionService: Grpc_Reflection_V1alpha_ServerReflection.ServiceProtocol {
  package init() {}

  package func serverReflectionInfo(
    request: StreamingServerRequest<Grpc_Reflection_V1alpha_ServerReflectionRequest>,
    context: ServerContext
  ) async throws -> StreamingServerResponse<Grpc_Reflection_V1alpha_ServerReflectionResponse> {
    StreamingServerResponse { writer in
      for try await request in request.messages {
        // The two versions differ in their names alone.
        let answer = ReflectionService.answer(
          try .init(serializedBytes: request.serializedBytes() as [UInt8]))
        try await writer.write(.init(serializedBytes: answer.serializedBytes() as [UInt8]))
      }
      return [:]
    }
  }
}
