import CadastreClient
import Replay
import StateMachines

extension CatalogOptions {
  /// Lends the catalog that was named, for reading: a folder beside whoever writes it.
  ///
  /// With `acceptsDamage` a folder whose log is damaged is read up to the damage.
  func withReader<Result: Sendable>(
    acceptsDamage: Bool = false, _ body: @Sendable (any CatalogReader) async throws -> Result
  ) async throws -> Result {
    switch try place() {
    case .folder(let folder):
      return try await body(try FolderReader(folder: folder, acceptsDamage: acceptsDamage))
    case .server(let address, let connection):
      return try await NodeClient.with(address, connection: connection) {
        try await body(ServerCatalog(client: $0))
      }
    }
  }

  /// Lends the catalog that was named, for writing: a folder as its one writer.
  func withWriter<Result: Sendable>(
    _ body: @Sendable (any CatalogWriter) async throws -> Result
  ) async throws -> Result {
    switch try place() {
    case .folder(let folder):
      let writer = try FolderWriter(folder: folder)
      defer { writer.close() }
      return try await body(writer)
    case .server(let address, let connection):
      return try await NodeClient.with(address, connection: connection) {
        try await body(ServerCatalog(client: $0))
      }
    }
  }

  /// Sends a command and writes what became of it.
  func submit(_ command: Command, output: OutputOptions) async throws {
    let receipt = try await withWriter { writer in
      do {
        return try await writer.submit(command)
      } catch {
        let cause = Task.isCancelled ? CancellationError() : error
        throw Problem(describing: cause).naming(command.id)
      }
    }
    output.write(receipt.json, else: receipt.text)
  }
}
