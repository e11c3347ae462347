import CadastreClient
import GRPCCore

/// Why a call of etcd failed.
package enum EtcdError: Error, Hashable, Sendable {
  /// etcd said no: what was asked for was not done. The code and words are etcd's.
  case refused(RPCError.Code, String)
  /// No answer, or none that says what became of it: what was asked for may have been done. The
  /// problem is there where no connection came about for want of trust.
  case lost(String, TLSProblem? = nil)

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

  /// Whether etcd no longer takes the token that came with a call, or asks for one: nothing was done,
  /// and with a new one it may be.
  var asksForToken: Bool {
    guard case .refused(let code, let message) = self else { return false }
    switch code {
    case .unauthenticated: return true
    // It has the same code for a wrong password.
    case .invalidArgument:
      return ["user name is empty", "revision of auth store is old"].contains {
        message.contains($0)
      }
    default: return false
    }
  }

  /// Whether it will be the same however often it is asked: who calls is not let in, or asks for what
  /// etcd does not take.
  var isFinal: Bool {
    switch self {
    case .refused(.invalidArgument, _), .refused(.permissionDenied, _),
      .refused(.unauthenticated, _):
      true
    case .refused, .lost: false
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
    case .lost(let message, _): message
    }
  }
}
