import CadastreProtocol
import Catalog
import Foundation

/// The groups of these ranges.
package func groupSet(_ ranges: [Cadastre_V1_GroupRange]) throws(MalformedMessage) -> GroupSet {
  var runs: [GroupRun] = []
  for range in ranges {
    guard range.first <= range.last else {
      throw MalformedMessage("groups: \(range.first) is after \(range.last)")
    }
    runs.append(GroupRun(GroupID(range.first), through: GroupID(range.last)))
  }
  return GroupSet(runs)
}

extension Cadastre_V1_GroupRange {
  package init(_ run: GroupRun) {
    self.init()
    first = run.first.rawValue
    last = run.last.rawValue
  }
}

extension Cadastre_V1_TransactionResponse {
  package init(_ transaction: Transaction) {
    self.init()
    transactionID = Data(transaction.id.bytes)
    participants = transaction.participants.runs.map(Cadastre_V1_GroupRange.init)
    expiresAt = transaction.expiry.rawValue
    switch transaction.outcome {
    case nil: outcome = .unspecified
    case .aborted: outcome = .aborted
    case .committed(let time):
      outcome = .committed
      commitTimestamp = time.rawValue
    }
  }

  /// The transaction that is told.
  package func value() throws(MalformedMessage) -> Transaction {
    let end: TransactionOutcome?
    switch outcome {
    case .unspecified: end = nil
    case .committed: end = .committed(at: HybridTimestamp(commitTimestamp))
    case .aborted: end = .aborted
    case .UNRECOGNIZED: throw MalformedMessage("outcome: it is none that is known here")
    }
    return Transaction(
      id: try fixed("transaction_id", transactionID), participants: try groupSet(participants),
      expiry: HybridTimestamp(expiresAt), outcome: end)
  }
}
