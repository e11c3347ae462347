import CadastreClient
import GRPCCore
import SwiftProtobuf
import Synchronization

/// What goes with a user's calls to say who makes them.
enum EtcdCredential: Hashable, Sendable {
  /// It is to be asked for.
  case unknown
  /// What name and password were exchanged for.
  case token(String)
  /// etcd's access control is off: it asks nobody, until that is turned on.
  case notNeeded
}

extension EtcdClient {
  /// What goes with each call: the token of the user, where there is one.
  func metadata(at endpoint: Endpoint) async throws -> Metadata {
    guard let user = options.user else { return [:] }
    var known = credential.withLock { $0 }
    if known == .unknown {
      known = try await authenticate(user, at: endpoint)
      credential.withLock { $0 = known }
    }
    guard case .token(let token) = known else { return [:] }
    return ["token": "\(token)"]
  }

  private func authenticate(
    _ user: EtcdUser, at endpoint: Endpoint
  ) async throws -> EtcdCredential {
    do {
      let answer = try await endpoint.auth.authenticate(
        .with {
          $0.name = user.name
          $0.password = user.password
        }, options: callOptions(options.callTimeout))
      return .token(answer.token)
    } catch let error as RPCError
      where error.code == .failedPrecondition
      && error.message.contains("authentication is not enabled")
    {
      return .notNeeded
    }
  }
}
