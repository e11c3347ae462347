import CadastreClient
import CadastreProtocol
import GRPCCore
import GRPCProtobuf
import SwiftProtobuf

/// A call whose messages are bytes that may be anything.
struct RawCall: Sendable {
  /// How a call ended.
  struct Outcome: Sendable {
    /// Nil for one that went well.
    var code: RPCError.Code?
    var message = ""
    var reason: String?
    var remedy: String?
    /// What was answered before that, up to a limit.
    var messages: [[UInt8]] = []
  }

  private struct Bytes: MessageSerializer, MessageDeserializer {
    func serialize<Result: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Result {
      Result(message)
    }
    func deserialize(_ bytes: some GRPCContiguousBytes) throws -> [UInt8] {
      bytes.withUnsafeBytes(Array.init)
    }
  }

  let method: MethodDescriptor
  var metadata: Metadata = [:]
  var timeout: Duration = .seconds(30)
  /// Streams that never end by themselves are left after so many messages, or so long.
  var messageLimit = 3
  var patience: Duration = .milliseconds(200)

  init(_ method: MethodDescriptor) { self.method = method }

  /// Sends `requests` over a connection of its own.
  func send(
    _ requests: [[UInt8]], to address: NodeAddress, _ security: ClientSecurity
  ) async -> Outcome {
    do {
      return try await withClient(of: address, security) { await send(requests, by: $0) }
    } catch {
      let error = NodeError(any: error)
      return Outcome(code: error.code, message: error.message, reason: error.reason)
    }
  }

  func send(_ requests: [[UInt8]], by client: NodeClient) async -> Outcome {
    let seen = Shared<[[UInt8]]>([])
    var options = CallOptions.defaults
    options.timeout = timeout
    let (limit, patience, options_) = (messageLimit, patience, options)
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { [metadata, method] in
          try await client.client.bidirectionalStreaming(
            request: StreamingClientRequest(metadata: metadata) { writer in
              for request in requests { try await writer.write(request) }
            }, descriptor: method, serializer: Bytes(), deserializer: Bytes(), options: options_
          ) { response in
            for try await message in response.messages {
              if seen.change({ messages in
                messages.append(message)
                return messages.count
              }) >= limit {
                return
              }
            }
          }
        }
        group.addTask {
          // Something was answered, and more may never come.
          while true {
            try await Task.sleep(for: patience)
            if !seen.value.isEmpty { return }
          }
        }
        defer { group.cancelAll() }
        try await group.next()
      }
      return Outcome(messages: seen.value)
    } catch {
      let error = NodeError(any: error)
      return Outcome(
        code: error.code, message: error.message, reason: error.reason,
        remedy: error.detail?.remedy, messages: seen.value)
    }
  }
}
