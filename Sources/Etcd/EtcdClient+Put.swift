import Foundation
import SwiftProtobuf

extension EtcdClient {
  /// Puts a value under a key of its own, whatever was there: what an append is measured against.
  ///
  /// - Throws: ``EtcdError``.
  package func put(_ value: Data, under key: Data) async throws(EtcdError) {
    _ = try await anywhere { endpoint, metadata, call in
      try await endpoint.kv.put(
        .with {
          $0.key = key
          $0.value = value
        }, metadata: metadata, options: call)
    }
  }
}
