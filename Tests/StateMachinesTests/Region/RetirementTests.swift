import Catalog
import StateMachines
import Testing

@Suite struct RetirementTests {
  /// A leader stops its clocks first, and asks for the record of it then: a commit that is decided in
  /// between, which they did not observe, is passed by no successor all the same.
  @Test func aCommitBeforeTheRecordOfAStopIsNotPassed() throws {
    var region = TestRegion()
    region.wall = 1_785_312_000_000
    func at(_ milliseconds: UInt64) -> HybridTimestamp { time(1_785_312_000_000 + milliseconds) }
    let leader = member("tokyo-1")
    try region.perform(
      .lead(
        LeadRequest(
          groups: groups(1...1), leader: leader, ceiling: at(9000), lease: Milliseconds(3000))))
    try region.perform(
      .begin(transactionID(1), participants: groups(1...1), expiry: at(60_000)))
    let stopped = RetirementRequest(
      leader: leader, groups: [TermGroups(term: Term(1), groups: groups(1...1))],
      floor: at(100), hasWaited: true)
    try region.perform(.decide(transactionID(1), .committed(at: at(5000))))
    try region.perform(.retire(stopped))
    let clock = try #require(region.state.ceilings[GroupID(1)])
    #expect(clock.nextFloor == at(5000).next && clock.nextWait == .zero)
  }
}
