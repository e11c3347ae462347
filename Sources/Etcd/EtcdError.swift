import CadastreClient
import GRPCCore

/// Why a call of etcd failed.
package enum EtcdError: Error, Hashable, Sendable {
  /// etcd said no: what was asked for was not done. The code and words are etcd's.
  case refused(RPCError.Code, String)
  /// No answer, or none that says what became of it: what was asked for may have been done.
  case lost(String)

  init(_ error: NodeError, at address: NodeAddress) {
    switch error.code {
    case .invalidArgument, .notFound, .alreadyExists, .permissionDenied, .resourceExhausted,
      .failedPrecondition, .outOfRange, .unauthenticated, .unimplemented:
      self = .refused(error.code, "etcd at \(address): \(error.message)")
    default:
      // Also `unavailable`: etcd says that of a request that waits for a leader, and may be done later.
      self = .lost("etcd at \(address): \(error.message)")
    }
  }

  /// Whether what was asked for is in the past that etcd has compacted.
  var isCompacted: Bool {
    if case .refused(.outOfRange, _) = self { true } else { false }
  }
}

extension EtcdError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .refused(let code, let message): "\(message) (\(code))"
    case .lost(let message): message
    }
  }
}
