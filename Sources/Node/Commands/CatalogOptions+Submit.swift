import StateMachines

extension CatalogOptions {
  /// Sends a command and writes what became of it.
  func submit(_ command: Command, output: OutputOptions) async throws {
    let receipt = try await withCatalog(for: .writing) { try await $0.submit(command) }
    output.write(receipt.json, else: receipt.text)
  }
}
