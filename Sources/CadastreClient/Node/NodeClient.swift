import CadastreProtocol
import Catalog
import GRPCCore

/// Calls a node: typed values in and out, ``NodeError`` where a call fails.
///
/// Each call may have a deadline, which travels with it; without one it waits for as long as the
/// node takes. A call fails at once when the node cannot be reached.
package final class NodeClient: Sendable {
  package typealias Transport = NodeTransport

  /// The longest message, in bytes, that either side takes.
  package static let maximumMessageByteCount = 16 << 20

  package let address: NodeAddress
  package let client: GRPCClient<Transport>

  package let reads: Cadastre_V1_CatalogReads.Client<Transport>
  package let commands: Cadastre_V1_CatalogCommands.Client<Transport>
  package let watches: Cadastre_V1_CatalogWatch.Client<Transport>
  package let replication: Cadastre_V1_Replication.Client<Transport>
  package let audits: Cadastre_V1_Audit.Client<Transport>
  package let timestamps: Cadastre_V1_Timestamps.Client<Transport>
  package let transactions: Cadastre_V1_Transactions.Client<Transport>
  package let members: Cadastre_V1_Members.Client<Transport>
  package let health: Grpc_Health_V1_Health.Client<Transport>

  /// Makes a client that connects once ``run()`` runs.
  ///
  /// - Throws: ``NodeError`` when the address is none that can be connected to.
  package init(
    _ address: NodeAddress, connection: ConnectionOptions = ConnectionOptions()
  ) throws(NodeError) {
    self.address = address
    let token = try connection.security.makeToken(for: address)
    client = GRPCClient(
      transport: try NodeTransport(to: address, connection),
      interceptors: [token.map { TokenInterceptor(token: $0) }].compactMap(\.self))
    reads = .init(wrapping: client)
    commands = .init(wrapping: client)
    watches = .init(wrapping: client)
    replication = .init(wrapping: client)
    audits = .init(wrapping: client)
    timestamps = .init(wrapping: client)
    transactions = .init(wrapping: client)
    members = .init(wrapping: client)
    health = .init(wrapping: client)
  }

  /// Keeps the connection until ``shutdown()`` or the task's cancellation.
  package func run() async throws {
    try await client.runConnections()
  }

  /// Takes no more calls, and lets ``run()`` return once those under way are done.
  package func shutdown() { client.beginGracefulShutdown() }

  /// Runs a client for as long as `body` takes.
  package static func with<Result: Sendable>(
    _ address: NodeAddress, connection: ConnectionOptions = ConnectionOptions(),
    _ body: @Sendable (NodeClient) async throws -> Result
  ) async throws -> Result {
    let client = try NodeClient(address, connection: connection)
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await client.run() }
      defer { group.cancelAll() }
      return try await body(client)
    }
  }

  /// How a call that may take so long is made.
  package func options(_ deadline: Duration?) -> CallOptions {
    var options = CallOptions.defaults
    options.timeout = deadline
    options.waitForReady = false
    options.maxRequestMessageBytes = Self.maximumMessageByteCount
    options.maxResponseMessageBytes = Self.maximumMessageByteCount
    return options
  }
}

/// Runs a call and tells what went wrong in our words.
package func calling<Result>(
  _ address: NodeAddress, isolation: isolated (any Actor)? = #isolation,
  _ call: () async throws -> Result
) async throws(NodeError) -> Result {
  do {
    return try await call()
  } catch {
    throw NodeError(any: error, calling: address)
  }
}

/// Like ``calling(_:isolation:_:)`` for a stream whose messages are handled by somebody else: what
/// the handler throws is passed on as it is.
package func streaming<Result>(
  _ address: NodeAddress, isolation: isolated (any Actor)? = #isolation,
  _ call: () async throws -> Result
) async throws -> Result {
  do {
    return try await call()
  } catch let error as RPCError {
    throw NodeError(any: error, calling: address)
  } catch let error as RuntimeError {
    throw NodeError(any: error, calling: address)
  }
}

extension NodeError {
  fileprivate init(any error: any Error, calling address: NodeAddress) {
    self.init(any: error)
    if code == .unavailable, detail == nil {
      message = "\(address) cannot be reached: \(message)"
    }
  }
}
