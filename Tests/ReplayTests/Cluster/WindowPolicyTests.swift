import Catalog
import Replay
import TestSupport
import Testing

@Suite struct WindowPolicyTests {
  private func progress(_ positions: UInt64...) throws -> [MemberProgress] {
    try positions.enumerated().map { index, position in
      MemberProgress(
        member: ClusterMember(name: try MemberName("m\(index)"), address: ""),
        storedThrough: LogPosition(position))
    }
  }

  private let policy: WindowPolicy = {
    var policy = WindowPolicy()
    (policy.margin, policy.limit) = (10, 100)
    return policy
  }()

  @Test func whatEveryMemberHasGoesButForTheMargin() throws {
    let decision = policy.decide(
      try progress(50, 45, 48), trimmed: LogPosition(5), last: LogPosition(50))
    #expect(decision.trimThrough == LogPosition(35))
    #expect(decision.heldBackBy == [] && !decision.isFull && decision.lag == 5)
    // Not again, and not while there is no more than the margin.
    #expect(
      policy.decide(try progress(45), trimmed: LogPosition(35), last: LogPosition(50)).trimThrough
        == nil)
    #expect(
      policy.decide(try progress(10), trimmed: .zero, last: LogPosition(50)).trimThrough == nil)
  }

  @Test func nothingGoesWhileNobodySaysWhatHeHas() {
    let decision = policy.decide([], trimmed: .zero, last: LogPosition(1_000))
    #expect(decision == WindowPolicy.Decision())
  }

  @Test func whoHoldsTheWindowBackIsNamed() throws {
    let decision = policy.decide(
      try progress(300, 245, 200), trimmed: .zero, last: LogPosition(300))
    #expect(try decision.heldBackBy == [MemberName("m2"), MemberName("m1")])
    #expect(!decision.isFull && decision.lag == 100)
    let full = policy.decide(try progress(301, 200), trimmed: .zero, last: LogPosition(301))
    #expect(try full.isFull && full.heldBackBy == [MemberName("m1")])
    #expect(full.trimThrough == LogPosition(190))
  }

  @Test(arguments: testSeeds(count: 20))
  func nothingGoesThatSomebodyHasYetToStore(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var policy = WindowPolicy()
    for _ in 0..<500 {
      policy.margin = .random(in: 0...30, using: &generator)
      policy.limit = .random(in: 0...60, using: &generator)
      let last = UInt64.random(in: 0...100, using: &generator)
      // One that said so before it lost its folder may seem to be ahead.
      let members = try (0..<Int.random(in: 0...4, using: &generator)).map { index in
        MemberProgress(
          member: ClusterMember(name: try MemberName("m\(index)"), address: ""),
          storedThrough: LogPosition(.random(in: 0...120, using: &generator)))
      }
      let trimmed = LogPosition(.random(in: 0...last, using: &generator))
      let decision = policy.decide(members, trimmed: trimmed, last: LogPosition(last))
      if let through = decision.trimThrough {
        #expect(through > trimmed && through.rawValue + policy.margin <= last, "seed \(seed)")
        for member in members {
          #expect(through.rawValue + policy.margin <= member.storedThrough.rawValue, "seed \(seed)")
        }
      }
      let isBehind = members.contains { $0.storedThrough.rawValue + policy.limit < last }
      #expect(decision.isFull == isBehind, "seed \(seed)")
      #expect(!decision.isFull || !decision.heldBackBy.isEmpty, "seed \(seed)")
    }
  }
}
