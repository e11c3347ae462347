import TestSupport
import Testing

@Suite struct LinearizabilityTests {
  typealias Item = HistoryItem<Register>

  private func item(
    _ operation: Register.Operation, _ result: Register.Result?, _ start: UInt64, _ end: UInt64 = 0
  ) -> Item {
    Item(client: 0, operation: operation, result: result, start: start, end: end)
  }

  private func verdict(_ items: Item...) -> LinearizabilityVerdict {
    LinearizabilityChecker(Register()).check(items)
  }

  // MARK: Known to be good

  @Test func nothingIsInOrder() { #expect(verdict() == .linearizable(order: [])) }

  @Test func whatOverlapsMayBeInAnyOrder() {
    // The read began first and saw what was written while it was under way; another did not yet.
    #expect(
      verdict(
        item(.read, .value(1), 1, 6), item(.write(1), .done, 2, 5), item(.read, .value(0), 3, 4)
      ) == .linearizable(order: [2, 1, 0]))
  }

  @Test func whatIsUnknownMayHappenLateOrNever() {
    let write = item(.write(1), nil, 1)
    #expect(verdict(write, item(.read, .value(0), 2, 3)).isLinearizable)
    #expect(
      verdict(write, item(.read, .value(0), 2, 3), item(.read, .value(1), 4, 5))
        == .linearizable(order: [1, 0, 2]))
  }

  @Test func atTheSameTickNothingIsBefore() {
    #expect(verdict(item(.write(1), .done, 1, 2), item(.read, .value(0), 2, 3)).isLinearizable)
  }

  // MARK: Known to be bad

  @Test func aStaleReadIsFound() {
    #expect(
      verdict(item(.write(1), .done, 1, 2), item(.read, .value(0), 3, 4))
        == .violation(longest: [0], stuck: 1))
  }

  @Test func aLostWriteIsFound() {
    #expect(
      !verdict(
        item(.write(1), .done, 1, 2), item(.write(2), .done, 3, 4), item(.read, .value(1), 5, 6)
      ).isLinearizable)
  }

  @Test func aWriteThatHappensTwiceIsFound() {
    #expect(
      !verdict(
        item(.write(1), .done, 1, 2), item(.write(2), .done, 3, 4), item(.read, .value(2), 5, 6),
        item(.read, .value(1), 7, 8)
      ).isLinearizable)
    // Two that compared with the same value, and both were let through.
    #expect(
      !verdict(
        item(.swap(from: 0, to: 1), .done, 1, 3), item(.swap(from: 0, to: 2), .done, 2, 4)
      ).isLinearizable)
  }

  @Test func anUnknownWriteThatComesAndGoesIsFound() {
    #expect(
      !verdict(
        item(.write(1), nil, 1), item(.read, .value(1), 2, 3), item(.read, .value(0), 4, 5)
      ).isLinearizable)
  }

  @Test func anEffectBeforeItsCallIsFound() {
    #expect(!verdict(item(.read, .value(1), 1, 2), item(.write(1), nil, 3)).isLinearizable)
  }

  @Test func aReportNamesWhatDoesNotFit() {
    let history = [item(.write(1), .done, 1, 2), item(.read, .value(0), 3, 4)]
    let report = LinearizabilityChecker(Register()).check(history).report(history)
    #expect(report.contains("1 of 2 operations fit"))
    #expect(report.contains("[3, 4] client 0: read → value(0)"))
  }

  @Test func whoGivesUpSaysSo() {
    // Writes that overlap all, and a read of what nobody wrote: every set of them is tried.
    let writes = (1...14).map { item(.write($0), .done, 1, 2) }
    let history = writes + [item(.read, .value(99), 1, 2)]
    let checker = LinearizabilityChecker(Register(), stepLimit: 1000)
    #expect(checker.check(history) == .gaveUp(steps: 1000))
    #expect(!checker.check(history).isLinearizable)
  }

  // MARK: Drawn

  /// What callers of a register see who overlap, each operation happening at a moment of its own.
  private func history(
    of count: Int, values: Int, using generator: inout SeededGenerator
  ) -> [Item] {
    var moments: [(at: UInt64, index: Int)] = []
    var items: [Item] = []
    for index in 0..<count {
      let start = UInt64.random(in: 0..<UInt64(count * 6), using: &generator)
      let at = start + .random(in: 0...12, using: &generator)
      let end = at + .random(in: 0...12, using: &generator)
      let value = { (generator: inout SeededGenerator) in
        Int.random(in: 0..<values, using: &generator)
      }
      let operation: Register.Operation =
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: .write(value(&generator))
        case 1: .swap(from: value(&generator), to: value(&generator))
        default: .read
        }
      items.append(item(operation, .done, start, end))
      moments.append((at, index))
    }
    moments.sort { ($0.at, $0.index) < ($1.at, $1.index) }
    var state = 0
    for moment in moments {
      // Some never happen, and of some that do nobody hears.
      let isNever = generator.oneIn(12)
      let result =
        isNever ? nil : Register().carryOut(items[moment.index].operation, in: &state)
      items[moment.index].result = generator.oneIn(8) ? nil : result
    }
    return items
  }

  @Test(arguments: testSeeds(count: 40))
  func whatHappensInAnOrderPasses(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<10 {
      let history = history(
        of: .random(in: 1...300, using: &generator), values: 5, using: &generator)
      let verdict = LinearizabilityChecker(Register()).check(history)
      #expect(verdict.isLinearizable, "seed \(seed): \(verdict.report(history))")
    }
  }

  @Test(arguments: testSeeds(count: 20))
  func theVerdictIsThatOfTryingEveryOrder(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var (good, bad) = (0, 0)
    for _ in 0..<200 {
      var history = history(of: .random(in: 1...7, using: &generator), values: 3, using: &generator)
      for _ in 0..<Int.random(in: 0...2, using: &generator) { mutate(&history, &generator) }
      let expected = Register().allowsSomeOrder(of: history)
      let verdict = LinearizabilityChecker(Register()).check(history)
      #expect(
        verdict.isLinearizable == expected, "seed \(seed): \(verdict.report(history)): \(history)")
      if case .linearizable(let order) = verdict { check(order, of: history, seed) }
      if expected { good += 1 } else { bad += 1 }
    }
    // Neither verdict is the only one.
    #expect(good > 20, "seed \(seed)")
    #expect(bad > 20, "seed \(seed)")
  }

  /// Changes what somebody saw, or when.
  private func mutate(_ history: inout [Item], _ generator: inout SeededGenerator) {
    guard let index = history.indices.randomElement(using: &generator) else { return }
    switch (Int.random(in: 0..<3, using: &generator), history[index].result) {
    case (0, .value?): history[index].result = .value(.random(in: 0..<3, using: &generator))
    case (0, .done?): history[index].result = .refused
    case (0, .refused?): history[index].result = .done
    case (1, _): history[index].end = history[index].start
    default:
      let length = history[index].end - history[index].start
      history[index].start += 10
      history[index].end = history[index].start + length
    }
  }

  /// An order is a witness: it is allowed, and goes against no return.
  private func check(_ order: [Int], of history: [Item], _ seed: UInt64) {
    var state: Int? = 0
    for (place, index) in order.enumerated() {
      let (operation, result) = (history[index].operation, history[index].result)
      state = state.flatMap { Register().step($0, operation, result) }
      let isTooEarly = order[place...].contains {
        history[$0].result != nil && history[$0].end < history[index].start
      }
      #expect(!isTooEarly, "seed \(seed): \(history)")
    }
    #expect(state != nil, "seed \(seed): \(history)")
    let open = Set(history.indices).subtracting(order)
    #expect(open.allSatisfy { history[$0].result == nil }, "seed \(seed): \(history)")
  }
}
