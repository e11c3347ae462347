import CadastreClient
import Catalog
import Replay
import StateMachines

/// Transactions in the streams that are led here.
extension RegionNode {
  /// Begins a transaction that may take so long.
  package func begin(
    _ id: TransactionID, participants: GroupSet, timeout: Duration, command: CommandID,
    in region: Region?
  ) async throws(NodeError) -> Transaction {
    let led = try led(region)
    try await prepare(led.stream)
    // One that is sent again is the same as it was: its expiry is on record already.
    let now = led.store.current.lastTime.following(wallMilliseconds: wallMilliseconds)
    let known = led.store.current.transactions[id]
    let expiry =
      known?.expiry
      ?? HybridTimestamp(
        milliseconds: min(
          now.milliseconds + min(timeout.wholeMilliseconds, Milliseconds.maximum.rawValue),
          HybridTimestamp.maximumMilliseconds))
    return try await transaction(
      id, .begin(id, participants: participants, expiry: expiry), command, led)
  }

  /// Ends a transaction.
  package func decide(
    _ id: TransactionID, _ outcome: TransactionOutcome, command: CommandID, in region: Region?
  ) async throws(NodeError) -> Transaction {
    let led = try led(region)
    try await prepare(led.stream)
    return try await transaction(id, .decide(id, outcome), command, led)
  }

  /// What is on record of a transaction.
  package func transaction(
    _ id: TransactionID, in region: Region?
  ) throws(NodeError) -> Transaction {
    let led = try led(region)
    try checkCatalogKnown()
    guard let transaction = led.store.current.transactions[id] else {
      throw NodeError(RegionFailure.refused(.unknownTransaction(id)))
    }
    return transaction
  }

  private func transaction(
    _ id: TransactionID, _ change: RegionChange, _ command: CommandID, _ led: Led
  ) async throws(NodeError) -> Transaction {
    _ = try await submit(
      RegionCommand(id: command, actor: member.name, reason: "transaction", change: change),
      to: led)
    return try transaction(id, in: led.store.region)
  }
}
