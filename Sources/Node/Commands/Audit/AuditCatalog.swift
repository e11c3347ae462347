import CadastreClient
import Catalog
import Replay
import StateMachines

/// Which entries of a log are asked for.
struct LogQuestion: Hashable, Sendable {
  var bounds = LogBounds()
  var filter = LogFilter()
  var newestFirst = false
  /// Whether to go on with new entries as they come.
  var follow = false
  /// At most so many.
  var limit = Int.max
}

/// What commands ask of a catalog's past, be it a folder that this process opened or a server. Each
/// answer comes in pieces, until it is whole or `body` returns false.
protocol AuditCatalog: Sendable {
  typealias Handler<Element: Sendable> = @Sendable (AuditPiece<Element>) throws -> Bool

  func at(
    _ question: AuditQuestion, asOf: AsOf, limit: Int, _ body: @escaping Handler<Route>
  ) async throws

  /// The routes that differ, by id. With `onlySummary` none of them is told.
  func diff(
    from: AsOf, to: AsOf, onlySummary: Bool, _ body: @escaping Handler<ChangedRoute>
  ) async throws

  func history(
    of scope: HistoryScope, asOf: AsOf, limit: Int, _ body: @escaping Handler<AuditChange>
  ) async throws

  func blame(
    _ span: KeySpan, asOf: AsOf, limit: Int, _ body: @escaping Handler<BlamedRoute>
  ) async throws

  /// Entries; no point comes first.
  func log(_ question: LogQuestion, _ body: @escaping Handler<EncodedEntry>) async throws

  /// A proof of the route that held `key` at a version, for the entry at `head` or the last one.
  func prove(
    _ key: Key, asOf: AsOf, head: LogPosition?
  ) async throws -> (proof: RouteProof, proven: ProvenRoute)

  /// How far the past reaches, with the hash of the entry at a position.
  func extent(hashAt position: LogPosition) async throws -> AuditExtent
}

extension CatalogOptions {
  /// Lends the past of the catalog that was named.
  func withAudit<Result: Sendable>(
    _ body: @Sendable (any AuditCatalog) async throws -> Result
  ) async throws -> Result {
    try await Self.withAudit(try place(), body)
  }

  static func withAudit<Result: Sendable>(
    _ place: Place, _ body: @Sendable (any AuditCatalog) async throws -> Result
  ) async throws -> Result {
    switch place {
    case .folder(let folder):
      return try await body(try FolderAudit(folder: folder))
    case .server(let address, let connection):
      return try await NodeClient.with(address, connection: connection) {
        try await body(ServerAudit(client: $0))
      }
    }
  }
}
