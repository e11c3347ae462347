import CadastreClient
import Replay

extension Problem {
  /// Says why the past has no answer, at a folder as at a server.
  init(_ error: AuditError) {
    if case .store(let error) = error {
      self.init(error)
    } else {
      self.init(NodeError(error))
    }
  }
}
