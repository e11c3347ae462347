import Catalog
import StateMachines

extension AuditReader {
  /// A proof of the route that held `key` at a version, to be checked against the hash of the entry at
  /// `head`, or of the last one that may be told of. See ``Prover``.
  ///
  /// - Throws: ``ProverError``.
  package func prove(
    _ key: Key, at version: CatalogVersion, head: LogPosition? = nil
  ) throws(ProverError) -> (proof: RouteProof, proven: ProvenRoute) {
    var prover = Prover(log, checkpoints: checkpoints())
    prover.onProgress = onProgress
    prover.isCancelled = isCancelled
    guard let live = live?.current() else { return try prover.prove(key, at: version, head: head) }
    guard version <= live.version else { throw .versionInFuture(version, newest: live.version) }
    // What is written and not published yet may not be proven.
    if let head, head > live.appliedThrough {
      let first: LogPosition
      do {
        first = try log.firstPosition()
      } catch {
        throw .store(error)
      }
      throw .headNotRetained(head, first: first, last: live.appliedThrough)
    }
    return try prover.prove(key, at: version, head: head ?? live.appliedThrough)
  }
}
