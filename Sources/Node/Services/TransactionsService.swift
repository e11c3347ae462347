import CadastreClient
import CadastreProtocol
import Catalog
import Foundation
import GRPCCore
import Replay
import StateMachines
import SwiftProtobuf

/// Serves the beginnings and the decisions of transactions.
package struct TransactionsService: Cadastre_V1_Transactions.ServiceProtocol {
  private let node: RegionNode

  package init(_ node: RegionNode) { self.node = node }

  package func begin(
    request: ServerRequest<Cadastre_V1_BeginRequest>, context: ServerContext
  ) async throws -> ServerResponse<Cadastre_V1_TransactionResponse> {
    let message = request.message
    guard message.timeoutMs > 0 else { throw MalformedMessage("timeout_ms: give one above 0") }
    let transaction = try await node.begin(
      try fixed("transaction_id", message.transactionID),
      participants: try groupSet(message.participants),
      timeout: Duration(boundedMilliseconds: message.timeoutMs),
      command: try fixed("command_id", message.commandID),
      in: try optionalRegion(message.region))
    return ServerResponse(message: Cadastre_V1_TransactionResponse(transaction))
  }

  package func decide(
    request: ServerRequest<Cadastre_V1_DecideRequest>, context: ServerContext
  ) async throws -> ServerResponse<Cadastre_V1_TransactionResponse> {
    let message = request.message
    let outcome: TransactionOutcome
    switch message.outcome {
    case .committed: outcome = .committed(at: HybridTimestamp(message.commitTimestamp))
    case .aborted: outcome = .aborted
    case .unspecified, .UNRECOGNIZED:
      throw MalformedMessage("outcome: say whether it committed or was aborted")
    }
    let transaction = try await node.decide(
      try fixed("transaction_id", message.transactionID), outcome,
      command: try fixed("command_id", message.commandID),
      in: try optionalRegion(message.region))
    return ServerResponse(message: Cadastre_V1_TransactionResponse(transaction))
  }

  package func get(
    request: ServerRequest<Cadastre_V1_GetTransactionRequest>, context: ServerContext
  ) async throws -> ServerResponse<Cadastre_V1_TransactionResponse> {
    let transaction = try node.transaction(
      try fixed("transaction_id", request.message.transactionID),
      in: try optionalRegion(request.message.region))
    return ServerResponse(message: Cadastre_V1_TransactionResponse(transaction))
  }
}
