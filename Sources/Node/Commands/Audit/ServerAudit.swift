import CadastreClient
import Catalog
import Replay
import StateMachines

/// The past of a catalog at a server.
struct ServerAudit: AuditCatalog {
  /// How long a whole answer may take; one that follows the log may take for ever.
  private static let deadline: Duration = .seconds(600)

  let client: NodeClient

  func at(
    _ question: AuditQuestion, asOf: AsOf, limit: Int, _ body: @escaping Handler<Route>
  ) async throws {
    try await client.auditAt(
      question, asOf: asOf, limit: limit, deadline: Self.deadline, body)
  }

  func diff(
    from: AsOf, to: AsOf, onlySummary: Bool, _ body: @escaping Handler<ChangedRoute>
  ) async throws {
    try await client.auditDiff(
      from: from, to: to, onlySummary: onlySummary, deadline: Self.deadline, body)
  }

  func history(
    of scope: HistoryScope, asOf: AsOf, limit: Int, _ body: @escaping Handler<AuditChange>
  ) async throws {
    try await client.auditHistory(
      of: scope, asOf: asOf, limit: limit, deadline: Self.deadline, body)
  }

  func blame(
    _ span: KeySpan, asOf: AsOf, limit: Int, _ body: @escaping Handler<BlamedRoute>
  ) async throws {
    try await client.auditBlame(
      span, asOf: asOf, limit: limit, deadline: Self.deadline, body)
  }

  func log(_ question: LogQuestion, _ body: @escaping Handler<EncodedEntry>) async throws {
    try await client.auditLog(
      question.bounds, question.filter, newestFirst: question.newestFirst,
      follow: question.follow, limit: question.limit,
      deadline: question.follow ? nil : Self.deadline, body)
  }

  func prove(
    _ key: Key, asOf: AsOf, head: LogPosition?
  ) async throws -> (proof: RouteProof, proven: ProvenRoute) {
    try await client.auditProof(of: key, asOf: asOf, head: head, deadline: Self.deadline)
  }

  func extent(hashAt position: LogPosition) async throws -> AuditExtent {
    try await client.auditExtent(hashAt: position, deadline: Self.deadline)
  }
}
