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
    let (id, command): (TransactionID, CommandID) = (
      try fixed("transaction_id", message.transactionID),
      try fixed("command_id", message.commandID)
    )
    let participants = try groupSet(message.participants)
    let transaction = try await located(message.region) { (region) throws(NodeError) in
      try await node.begin(
        id, participants: participants,
        timeout: Duration(boundedMilliseconds: message.timeoutMs), command: command, in: region)
    }
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
    let (id, command): (TransactionID, CommandID) = (
      try fixed("transaction_id", message.transactionID),
      try fixed("command_id", message.commandID)
    )
    let transaction = try await located(message.region) { (region) throws(NodeError) in
      try await node.decide(id, outcome, command: command, in: region)
    }
    return ServerResponse(message: Cadastre_V1_TransactionResponse(transaction))
  }

  package func get(
    request: ServerRequest<Cadastre_V1_GetTransactionRequest>, context: ServerContext
  ) async throws -> ServerResponse<Cadastre_V1_TransactionResponse> {
    let id: TransactionID = try fixed("transaction_id", request.message.transactionID)
    let transaction = try await located(request.message.region) { (region) throws(NodeError) in
      try node.transaction(id, in: region)
    }
    return ServerResponse(message: Cadastre_V1_TransactionResponse(transaction))
  }

  /// Tells who is refused here where the region's leader is.
  private func located(
    _ name: String, _ body: (Region?) async throws(NodeError) -> Transaction
  ) async throws -> Transaction {
    let region = try optionalRegion(name)
    do throws(NodeError) {
      return try await body(region)
    } catch {
      throw await node.located(error, region)
    }
  }
}
