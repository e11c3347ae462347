import Catalog
import StateMachines
final class LocalCatalog: CatalogConnection {
  let state = CatalogState(catalog: .random())
  static func create(folder: String, catalog: CatalogID) throws {}
  static func openForWriting(folder: String) throws -> LocalCatalog { LocalCatalog() }
  static func openEmpty(folder: String) throws -> LocalCatalog { LocalCatalog() }
  func resolve(_ keys: [Key], demand: ReadDemand) async throws -> ResolvedKeys {
    throw Problem(.failed, code: "x", "x")
  }
  func routes(_ selection: RouteSelector, limit: Int, demand: ReadDemand) async throws
    -> RouteListing
  { throw Problem(.failed, code: "x", "x") }
  func status() async throws -> CatalogStatus { throw Problem(.failed, code: "x", "x") }
  func submit(_ command: Command) async throws -> CommandReceipt {
    throw Problem(.failed, code: "x", "x")
  }
  func watch(
    after version: CatalogVersion?, _ body: @escaping @Sendable (WatchUpdate) throws -> Bool
  ) async throws {}
  func close() async {}
}
extension CatalogOptions {
  enum Purpose: Sendable { case reading, writing }
  func withCatalog<R: Sendable>(
    for purpose: Purpose, _ body: @Sendable (any CatalogConnection) async throws -> R
  ) async throws -> R {
    let c = LocalCatalog()
    return try await body(c)
  }
}
