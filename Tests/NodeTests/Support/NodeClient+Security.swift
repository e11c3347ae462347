import CadastreClient

/// Runs a client of its own for as long as `body` takes.
func withClient<Result: Sendable>(
  of address: NodeAddress, _ security: ClientSecurity,
  _ body: @Sendable (NodeClient) async throws -> Result
) async throws -> Result {
  var connection = ConnectionOptions()
  connection.security = security
  return try await NodeClient.with(address, connection: connection, body)
}
