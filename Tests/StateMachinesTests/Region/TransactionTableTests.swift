import Catalog
import TestSupport
import Testing

@testable import StateMachines

@Suite struct TransactionTableTests {
  @Test(arguments: testSeeds(count: 4))
  func isADictionaryOfTransactions(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var table = TransactionTable()
    var twin: [TransactionID: Transaction] = [:]
    var copies: [(TransactionTable, [TransactionID: Transaction])] = []
    for round in 0..<1500 {
      // Ids that differ late, and ids that are those of before.
      let random = TransactionID(
        bytes: (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) })
      let id =
        generator.oneIn(3)
        ? transactionID(UInt64.random(in: 0...300, using: &generator)) : random ?? unreachable()
      let outcome: TransactionOutcome? =
        generator.oneIn(2) ? nil : generator.oneIn(2) ? .aborted : .committed(at: time(7))
      let transaction = Transaction(
        id: id, participants: groups(1...2), expiry: time(UInt64(round)), outcome: outcome)
      table.put(transaction)
      twin[id] = transaction
      if round.isMultiple(of: 500) { copies.append((table, twin)) }
    }
    copies.append((table, twin))
    // A copy is not changed by what came after it.
    for (table, twin) in copies {
      let place: Comment = "seed \(seed), \(twin.count) transactions"
      #expect(table.count == twin.count, place)
      var all: [Transaction] = []
      table.forEach { all.append($0) }
      #expect(all == twin.values.sorted { $0.id < $1.id }, place)
      for (id, transaction) in twin { #expect(table[id] == transaction, place) }
      #expect(
        table.pending == twin.filter { $0.value.outcome == nil }.mapValues(\.expiry), place)
      var digest = StateDigest.zero
      for transaction in all {
        digest += RegionRecord.transaction(transaction).bytes.withUnsafeBytes {
          StateDigest(ofRecord: $0)
        }
      }
      #expect(table.digest == digest, place)
    }
  }

  @Test func idsThatDifferInTheirLastBitAreTold() {
    var table = TransactionTable()
    for number in UInt64(0)..<64 {
      table.put(
        Transaction(id: transactionID(number), participants: groups(1...1), expiry: time(number)))
    }
    #expect(table.count == 64)
    #expect(table[transactionID(63)]?.expiry == time(63))
    #expect(table[transactionID(64)] == nil)
  }
}
